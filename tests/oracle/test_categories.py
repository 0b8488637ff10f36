"""What a category holds against the sums over the program's own objects."""

from __future__ import annotations

import pytest

from tests.oracle.conftest import OutcomeOf
from tests.oracle.outcome import Claim, Program
from tests.oracle.programs import GROUPS, every_program
from tests.oracle.programs.generation import NEW

UNATTRIBUTED = 0.02
KEPT = {"Mamba": "recurrent_state", "RWKV": "recurrent_state"}

#: In `0.5 * x` autograd keeps the number as a tensor of 8 bytes. It is made below all hooks, those
#: that the claims rest on included; only the allocator sees it.
NUMBERS = 96


@every_program
def test_categories_hold_what_the_objects_hold(
    outcome_of: OutcomeOf, recorder: str, group: str, name: str, program: Program
) -> None:
    outcome = outcome_of(group, name)
    assert outcome.claims or program.loose
    numbers = NUMBERS if recorder == "native" else 0
    assert not [claim for claim in outcome.claims if not holds(claim, numbers)]


def holds(claim: Claim, numbers: int) -> bool:
    """Whether a category is what the objects say, with no more `numbers` than that beside them."""
    over = claim.measured - claim.expected
    return over == 0 or (claim.category == "activations" and over in range(0, numbers + 1, 8))


@every_program
def test_little_is_unattributed(
    outcome_of: OutcomeOf, group: str, name: str, program: Program
) -> None:
    outcome = outcome_of(group, name)
    assert sum(outcome.by_category.values()) == outcome.traced_peak
    if not program.loose:
        assert outcome.by_category["unattributed"] < UNATTRIBUTED * outcome.traced_peak


@pytest.mark.parametrize("name", list(GROUPS["training"]))
def test_training_is_seen_as_training(outcome_of: OutcomeOf, name: str) -> None:
    outcome = outcome_of("training", name)
    claimed = {claim.category for claim in outcome.claims if claim.expected}
    assert {"weights", "gradients", "optimizer_state"} <= claimed
    assert outcome.category_peaks["activations"] > 0
    assert outcome.category_peaks["kv_cache"] == outcome.category_peaks["recurrent_state"] == 0
    turn = [phase for phase in outcome.phases if phase != "recompute"][-3:]
    assert turn[0] in ("forward", "backward")  # a reentrant checkpoint is a backward of its own
    assert turn[1:] == ["backward", "optimizer"]
    assert ("recompute" in outcome.phases) == ("checkpointing" in name)


@pytest.mark.parametrize("name", list(GROUPS["generation"]))
def test_generation_keeps_a_cache_and_no_activations(outcome_of: OutcomeOf, name: str) -> None:
    outcome = outcome_of("generation", name)
    kept = KEPT.get(name, "kv_cache")
    other = {"kv_cache": "recurrent_state", "recurrent_state": "kv_cache"}[kept]
    assert any(claim.category == kept and claim.expected for claim in outcome.claims)
    assert outcome.category_peaks[other] == 0
    for category in ("activations", "gradients", "optimizer_state"):
        assert outcome.category_peaks[category] == 0
    assert outcome.phases.count("prefill") == 1
    assert outcome.phases.count("decode") == NEW - 1


def test_modules_are_named_as_in_the_state_dict(outcome_of: OutcomeOf) -> None:
    assert "model.layers.2.mlp.down_proj" in outcome_of("training", "Llama").modules
    assert "encoder.block.1.layer.1.DenseReluDense.wo" in outcome_of("training", "T5").modules
    assert "blocks.2.mlp.0" in outcome_of("plain", "GPT").modules
