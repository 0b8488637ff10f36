"""transformers' models in training and generation, against the allocator and the objects."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.oracle import checks
from tests.oracle.conftest import Outcomes

TRAINING = (
    "llama",
    "llama, eager attention",
    "llama, checkpointing",
    "llama, reentrant checkpointing",
    "llama, accumulation",
    "gpt2",
    "mixtral",
    "mamba",
    "t5",
)
GENERATION = (
    "llama",
    "llama, static",
    "llama, beams",
    "llama, sampling",
    "mistral, sliding",
    "gpt2",
    "mixtral",
    "t5",
    "mamba",
    "rwkv",
)
RUNS = [("training", name) for name in TRAINING] + [("generation", name) for name in GENERATION]


@pytest.mark.parametrize(("group", "name"), RUNS)
def test_run(group: str, name: str, outcomes_of: Callable[[str], Outcomes]) -> None:
    outcome = outcomes_of(group)[name]
    checks.check_tensor_peak(outcome)
    checks.check_unattributed(outcome)
    assert len(outcome["claims"]) >= 2
    checks.check_claims(outcome)
    checks.check_results(outcome)
    checks.check_quiet(outcome)


@pytest.mark.parametrize("name", TRAINING)
def test_training_has_its_activations(name: str, outcomes_of: Callable[[str], Outcomes]) -> None:
    outcome = outcomes_of("training")[name]
    assert outcome["by_category"]["optimizer_state"] > 0
    assert outcome["by_category"]["activations"] > 0 or outcome["by_category"]["gradients"] > 0


def test_every_program_is_tested(outcomes_of: Callable[[str], Outcomes]) -> None:
    assert set(outcomes_of("training")) == set(TRAINING)
    assert set(outcomes_of("generation")) == set(GENERATION)
