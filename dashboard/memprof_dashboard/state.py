"""What is open in the dashboard, and which moment of it a click or an address means."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path

from memprof.analyze import Analysis, Leak, Moment, leaks
from memprof.analyze.findings import Finding, findings
from memprof.analyze.runs import are_ranks
from memprof_dashboard.subjects import Subject, subjects_of
from memprof_dashboard.timeline import TimelineFigure

_MOMENTS = 16  # kept at hand: what one click asks for, several parts of the page ask for


class Shown:
    """The traces that are open and the charts made of them.

    Args:
        analyses: at least one, but for what has yet to come.
        followed: whether the traces are still being written.
    """

    def __init__(self, analyses: Sequence[Analysis], *, followed: bool = False) -> None:
        self.followed = followed
        self.generation = 0
        self.analyses = tuple(analyses)
        self.subjects: tuple[Subject, ...] = subjects_of(analyses)
        self.timeline = cache(self._timeline)
        self.leaks = cache(self._leaks)
        self._findings = cache(findings)
        self._moment = lru_cache(_MOMENTS)(self._find_moment)

    def renew(self, analyses: Sequence[Analysis], *, followed: bool) -> None:
        """Shows a later state of the same files; what is first asked for is made ready before."""
        later = Shown(analyses, followed=followed)
        later.generation = self.generation + 1
        if later.subjects:
            later.timeline(0)
        self.__dict__.update(later.__dict__)

    @property
    def title(self) -> str:
        """Name of the program that was recorded."""
        header = self.analyses[0].trace.header if self.analyses else {}
        program = header.get("program") or []
        return Path(str(program[0])).name if program else "trace"

    def number(self, number: int) -> int:
        """The number of a tab; 0 where there is no such tab."""
        return number if 0 <= number < len(self.subjects) else 0

    def subject(self, number: int) -> Subject:
        """The subject of a tab."""
        return self.subjects[self.number(number)]

    def moment(self, number: int, event: int | None) -> Moment:
        """The moment after an event; the peak where none is given."""
        peak = self.subject(number).peak
        return peak if event in (None, peak.event) else self._moment(number, event)

    def _find_moment(self, number: int, event: int) -> Moment:
        return self.subject(number).device.at_event(event)

    def findings(self, number: int) -> list[Finding]:
        """What was found in the trace of a tab, on any of its devices."""
        return self._findings(self.subject(number).analysis)

    def beside(self, number: int, device: str) -> int:
        """The number of the tab of another device of the same trace."""
        analysis = self.subject(number).analysis
        tabs = ((each.analysis, each.name) for each in self.subjects)
        return list(tabs).index((analysis, device))

    def pair(self, number: int) -> tuple[int, int] | None:
        """Numbers of two traces to hold against each other; None where no two runs are open.

        Before is the first trace, after the one of a tab, or the second on a tab of the first.
        """
        if len(self.analyses) < 2 or are_ranks([each.trace for each in self.analyses]):
            return None
        return 0, self.analyses.index(self.subject(number).analysis) or 1

    def _leaks(self, number: int) -> list[Leak]:
        return leaks(self.subject(number).device)

    def _timeline(self, number: int) -> TimelineFigure:
        return TimelineFigure(self.subject(number))
