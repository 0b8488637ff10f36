"""Traced bytes against a count of the allocator's own blocks, which shares no code with memprof."""

from __future__ import annotations

import pytest

from tests.oracle.conftest import OutcomeOf
from tests.oracle.outcome import Program
from tests.oracle.programs import GROUPS, every_program

TOLERANCE = 0.01
#: What PyTorch and its libraries hold of their own, such as the random generator's state.
FOREIGN_BYTES = 64 << 10


@every_program
def test_recorder(
    outcome_of: OutcomeOf, recorder: str, group: str, name: str, program: Program
) -> None:
    stands_in = recorder == "native" and name == "torch.profiler outside"
    assert outcome_of(group, name).recorder == ("dispatch" if stands_in else recorder)


@every_program
def test_peak(
    outcome_of: OutcomeOf, recorder: str, group: str, name: str, program: Program
) -> None:
    outcome = outcome_of(group, name)
    assert outcome.true_peak > 0
    assert outcome.traced_peak <= outcome.true_peak * (1 + TOLERANCE)
    if not program.outside:
        inside = program.workspaces and recorder == "dispatch"  # the allocator sees all of it
        seen = outcome.peak_with_workspaces if inside else outcome.traced_peak
        assert seen == pytest.approx(outcome.true_peak, rel=TOLERANCE), program


@every_program
def test_workspaces_add_up_to_no_more_than_was_used(
    outcome_of: OutcomeOf, group: str, name: str, program: Program
) -> None:
    outcome = outcome_of(group, name)
    assert outcome.traced_peak <= outcome.peak_with_workspaces
    assert outcome.peak_with_workspaces <= outcome.true_peak * (1 + TOLERANCE)


@every_program
def test_bytes_alive_at_the_end(
    outcome_of: OutcomeOf, group: str, name: str, program: Program
) -> None:
    outcome = outcome_of(group, name)
    assert outcome.traced_end == pytest.approx(outcome.true_end, rel=TOLERANCE)


def test_every_tensor_from_before_the_recording_is_known(outcome_of: OutcomeOf) -> None:
    outcome = outcome_of("memory", "from before the recording")
    assert outcome.true_peak > 10 * FOREIGN_BYTES
    assert 0 <= outcome.before < FOREIGN_BYTES


def test_what_an_exact_count_cannot_tell_has_a_twin_that_it_can() -> None:
    for programs in GROUPS.values():
        for name in [name for name, program in programs.items() if program.outside]:
            assert not programs[f"{name} without oneDNN"].outside
