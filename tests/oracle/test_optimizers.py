"""Every optimizer of torch.optim: its state is found to the byte."""

from __future__ import annotations

from collections.abc import Callable

from tests.oracle import checks
from tests.oracle.conftest import Outcomes

#: Multiplies in bfloat16, for which oneDNN takes scratch that is no tensor's.
SCRATCH_OF_ONEDNN = ("Muon {}",)


def test_every_optimizer(outcomes_of: Callable[[str], Outcomes]) -> None:
    outcomes = outcomes_of("optimizing")
    assert len(outcomes) > 25
    for name, outcome in outcomes.items():
        assert len(outcome["claims"]) >= 5, name
        checks.check_claims(outcome)
        checks.check_results(outcome)
        checks.check_quiet(outcome)
        checks.check_unattributed(outcome)
        if name not in SCRATCH_OF_ONEDNN:
            checks.check_tensor_peak(outcome)
