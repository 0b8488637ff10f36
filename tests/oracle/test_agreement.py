"""Two recorders that see memory in different ways say the same of one program."""

from __future__ import annotations

import pytest

from memprof.trace import CATEGORIES
from tests.oracle.conftest import OutcomeOf, OutcomeUnder
from tests.oracle.outcome import Program
from tests.oracle.programs import every_program
from tests.oracle.test_categories import NUMBERS

TOLERANCE = 0.01
#: Memory inside operators is temporary, and only the allocator sees it. What nobody explains is
#: told apart by `test_little_is_unattributed`.
DIFFERENT = ("temporary", "unattributed")
GAP = "torch.profiler inside"
SHARED_MEMORY = "GPT fed by worker processes"  # reported, and not made by the allocator counted
SHARED = "without a dispatch hook a sparse gradient shares its indices with the model's input"
#: Why two recordings of one program differ in small categories.
EXPLAINED = {
    "GPT, sparse embedding": SHARED,
    "SparseAdam": SHARED,
}


@every_program
def test_recorders_agree_on_every_category(
    outcome_under: OutcomeUnder, group: str, name: str, program: Program
) -> None:
    native, dispatch = (outcome_under(recorder, group, name) for recorder in ("native", "dispatch"))
    if name in EXPLAINED:
        return
    for category in CATEGORIES:
        seen, expected = (each.category_peaks[category] for each in (native, dispatch))
        if category not in DIFFERENT:
            assert seen == pytest.approx(expected, rel=TOLERANCE, abs=NUMBERS), category


@every_program
def test_the_level_is_the_allocator_s_at_every_step(
    outcome_of: OutcomeOf, recorder: str, group: str, name: str, program: Program
) -> None:
    outcome = outcome_of(group, name)
    if outcome.recorder == "native" and not program.outside and name not in (GAP, SHARED_MEMORY):
        assert [known for _, known in outcome.levels] == [level for level, _ in outcome.levels]
