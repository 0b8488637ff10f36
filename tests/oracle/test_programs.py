"""Programs that are no library's, against the allocator and the objects."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.oracle import checks
from tests.oracle.conftest import Outcomes

#: Programs whose tensors are the program's own and play no part in a model.
BARE_TENSORS = (
    "views and in-place",
    "resizes",
    "attention without autograd",
    "decompositions",
)
MODELS = (
    "gpt with a tagged cache",
    "gpt from before",
    "cnn",
    "several backwards",
    "double backward",
    "checkpointing",
    "reentrant checkpointing",
    "torch.func",
    "sparse",
    "flash attention",
    "flop counter above",
    "flop counter below",
    "other threads",
    "backward in a thread",
    "save_on_cpu",
    "deepcopy",
    "loader with workers",
)


@pytest.mark.parametrize("name", BARE_TENSORS + MODELS)
def test_program(name: str, outcomes_of: Callable[[str], Outcomes]) -> None:
    outcome = outcomes_of("plain")[name]
    checks.check_peak(outcome)
    checks.check_claims(outcome)
    checks.check_quiet(outcome)
    if outcome["plain_values"]:
        checks.check_results(outcome)


@pytest.mark.parametrize("name", MODELS)
def test_models_leave_nothing_unattributed(
    name: str, outcomes_of: Callable[[str], Outcomes]
) -> None:
    checks.check_unattributed(outcomes_of("plain")[name])


@pytest.mark.parametrize("name", ["flash attention", "attention without autograd"])
def test_workspaces_close_the_gap(name: str, outcomes_of: Callable[[str], Outcomes]) -> None:
    outcome = outcomes_of("plain")[name]
    assert outcome["traced_peak"] < 0.95 * outcome["true_peak"]
    assert outcome["peak_with_workspaces"] == pytest.approx(outcome["true_peak"], rel=0.001)


def test_every_program_is_tested(outcomes_of: Callable[[str], Outcomes]) -> None:
    assert set(outcomes_of("plain")) == set(BARE_TENSORS + MODELS)
