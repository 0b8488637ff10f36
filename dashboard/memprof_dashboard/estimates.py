"""What analysis says the run should need, as the views draw it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from memprof.analyze import Moment
from memprof.analyze.compare import estimate_at_peak
from memprof.trace.document import Ints
from memprof_dashboard.overlays import INK_LINE, Overlay
from memprof_dashboard.subjects import Subject
from memprof_dashboard.theme import STACK, label

#: Steps whose peak is estimated at most; of more, evenly chosen ones.
_MOST_STEPS = 16


def estimated(subject: Subject, moment: Moment) -> dict[str, int]:
    """The categories that have an estimate at a moment, and its bytes."""
    found = estimate_at_peak(subject.analysis, moment, subject.facts)
    return {name: each.bytes for name, each in found.items() if each.bytes is not None}


@dataclass(frozen=True)
class ExpectedLine(Overlay):
    """The sum of the estimates over time.

    Attributes:
        parts: what each category adds to it at each of its points.
    """

    parts: Mapping[str, Ints] = field(default_factory=dict)

    def without(self, hidden: Collection[str]) -> Overlay:
        """What is expected of the other categories."""
        left = self.value - sum(self.parts[name] for name in hidden if name in self.parts)
        return replace(self, value=left)


def estimate_line(subject: Subject) -> ExpectedLine | None:
    """For each step the sum of the estimates at its peak; None where nothing is estimated."""
    moments = _peaks(subject)
    found = [estimated(subject, moment) for _, moment in moments]
    if not any(sum(each.values()) for each in found):
        return None
    times = [begin for begin, _ in moments]
    points = [*found, found[-1]]
    parts = {name: np.array([each.get(name, 0) for each in points], np.int64) for name in STACK}
    return ExpectedLine(
        name=_name(subject.peak, estimated(subject, subject.peak)),
        time_ns=np.array([*times, subject.window_ns[1]], np.int64),
        value=np.sum(list(parts.values()), axis=0),
        color=INK_LINE,
        dash="dash",
        parts=parts,
    )


def _peaks(subject: Subject) -> list[tuple[int, Moment]]:
    """Where each step begins, and its highest moment; the trace's own where there are no steps."""
    steps = subject.steps
    if not steps:
        return [(subject.window_ns[0], subject.peak)] if len(subject.device.total) else []
    begins = subject.trace.steps.begin_ns
    # The first step makes the optimizer's state, so that the second is the first of the usual ones.
    evenly = set(range(0, len(steps), -(-len(steps) // _MOST_STEPS)))
    chosen = sorted(evenly | ({1, subject.peak.step or 0} & set(range(len(steps)))))
    return [
        (int(begins[number]), subject.device.at_event(steps[number].peak_event))
        for number in chosen
    ]


def _name(peak: Moment, known: Mapping[str, int]) -> str:
    missing = [label(name) for name in STACK if peak.by_category[name] and name not in known]
    if not missing:
        return "estimated"
    if len(missing) > 3:
        return f"estimated: {', '.join(label(n) for n in STACK if known.get(n))} only"
    return f"estimated without {', '.join(missing)}"
