"""A traced program computes what it computes untraced, and memprof has no errors of its own."""

from __future__ import annotations

import pytest

from tests.oracle.conftest import OutcomeOf
from tests.oracle.outcome import Program
from tests.oracle.programs import GROUPS, every_program

COMPILED = [name for name in GROUPS["compiled"] if name != "not compiled"]
ADDED = 0.02  # sums of gradients, which PyTorch makes out of place under a dispatch hook
EAGER_OP = "aten.silu.default"  # what the model calls, and compiled code fuses with the rest


@every_program
def test_results_are_equal_to_the_bit(
    outcome_of: OutcomeOf, group: str, name: str, program: Program
) -> None:
    outcome = outcome_of(group, name)
    assert outcome.hashes
    assert outcome.hashes == outcome.plain_hashes


@every_program
def test_recording_adds_next_to_nothing_to_the_peak(
    outcome_of: OutcomeOf, group: str, name: str, program: Program
) -> None:
    outcome = outcome_of(group, name)
    assert 0 < outcome.growth <= outcome.plain_growth * (1 + ADDED)


@every_program
def test_memprof_had_no_errors_of_its_own(
    outcome_of: OutcomeOf, recorder: str, group: str, name: str, program: Program
) -> None:
    remarks = outcome_of(group, name).remarks
    expected = {"compiled"} if name in COMPILED and recorder == "dispatch" else set()
    if name == "torch.profiler inside" and recorder == "native":
        expected = {"profiler"}
    assert set(remarks) == expected, remarks


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_code_runs_compiled(outcome_of: OutcomeOf, name: str) -> None:
    outcome = outcome_of("compiled", name)
    assert outcome.facts["graphs"] >= 1
    assert EAGER_OP not in outcome.ops
    assert EAGER_OP in outcome_of("compiled", "not compiled").ops


def test_what_was_compiled_while_recording_compiles_at_most_once_more(
    outcome_of: OutcomeOf,
) -> None:
    assert outcome_of("compiled", "compiled during, used after").facts["graphs"] <= 2


def test_errors_of_the_program_reach_the_program(outcome_of: OutcomeOf) -> None:
    facts = outcome_of("autograd", "exceptions caught").facts
    assert facts == {"caught in forward": True, "caught in backward": True}


@pytest.mark.parametrize("place", ["inside", "outside"])
def test_the_programs_own_profiler_works(outcome_of: OutcomeOf, place: str) -> None:
    assert outcome_of("modes", f"torch.profiler {place}").facts["profiled"] > 1000
