"""The rules of attribution once more, as plain loops over plain rows: slow, and easy to check."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from memprof.trace import LABELS, ORIGINS, Trace

INFINITY = float("inf")
FORWARD = ("forward", "prefill", "decode", "recompute")
OURS = (*FORWARD, "backward", "optimizer", "load")
BY_LABEL = (
    ("gathered", "communication"),
    ("parameter", "weights"),
    ("optimizer_state", "optimizer_state"),
    ("gradient", "gradients"),
    ("kv_cache", "kv_cache"),
    ("recurrent_state", "recurrent_state"),
    ("buffer", "buffers"),
    ("communication", "communication"),
    ("input", "inputs"),
    ("saved_for_backward", "activations"),
    ("exchanged", "communication"),
)


def birth_module(trace: Trace, number: int) -> int:
    """The module, as a string number, at work when an allocation was born."""
    module = int(trace.allocations.module[number])
    sequence = int(trace.allocations.sequence[number])
    if module or sequence < 0 or not len(trace.sequences.sequence):
        return module
    phase = int(trace.allocations.phase[number])
    thread = trace.phases.thread[phase] if phase else trace.sequences.thread[0]
    rows = zip(
        trace.sequences.thread, trace.sequences.sequence, trace.sequences.module, strict=True
    )
    best, found = -1, 0
    for row_thread, begin, made_by in rows:
        if row_thread == thread and best <= begin <= sequence:
            best, found = int(begin), int(made_by)
    return found


@dataclass
class Row:
    """One allocation as a person would note it down."""

    born: float
    died: float
    phase: int
    origin: str
    previous: int
    labels: list[str] = field(default_factory=list)


def categories(trace: Trace) -> list[str]:
    """The category of every allocation of a complete trace."""
    return [Judge(trace).category(number) for number in range(len(trace.allocations))]


class Judge:
    """Knows a trace's rows, phases and steps."""

    def __init__(self, trace: Trace) -> None:
        self.rows = []
        for index in range(len(trace.allocations)):
            allocations, times = trace.allocations, trace.events.time_ns.tolist()
            death = int(allocations.death[index])
            died = times[death] if death < len(times) else INFINITY
            born = times[int(allocations.birth[index])]
            origin = ORIGINS[allocations.origin[index]]
            phase = int(allocations.phase[index])
            self.rows.append(Row(born, died, phase, origin, int(allocations.previous[index])))
        for allocation, kind in zip(trace.labels.allocation, trace.labels.kind, strict=True):
            self.rows[allocation].labels.append(LABELS[kind])
        self.phases: list[dict[str, Any]] = [
            {
                "name": trace.strings[trace.phases.name[number]],
                "parent": int(trace.phases.parent[number]),
                "begin": int(trace.phases.begin_ns[number]),
                "end": int(trace.phases.end_ns[number]),
            }
            for number in range(len(trace.phases))
        ]
        self.steps = trace.steps.begin_ns.tolist()
        self.gradients = [bool(call.get("grad")) for call in trace.facts_of("call")]

    def category(self, number: int) -> str:
        labels = self.labels(number)
        tags = [label for label in labels if label.startswith("tag:")]
        if tags:
            return tags[0].removeprefix("tag:")
        for label, category in BY_LABEL:
            if label in labels:
                return category
        row = self.rows[number]
        if row.origin in ("before", "found") and not labels:
            return "unattributed"
        return self.by_lifetime(row, "output" in labels, "output" in row.labels)

    def labels(self, number: int) -> list[str]:
        """Own labels, the latest first, then those of the allocations it continues."""
        found: list[str] = []
        while number >= 0:
            found += reversed(self.rows[number].labels)
            number = self.rows[number].previous
        return found

    def by_lifetime(self, row: Row, output: bool, returned: bool) -> str:
        phase = self.automatic(row.phase)
        name = self.phases[phase]["name"]
        begins = [p["begin"] for p in self.phases if p["name"] == "backward"]
        later = min((begin for begin in begins if begin > row.born), default=INFINITY)
        horizon = self.end_of_next_step(row.born)
        if name in FORWARD and later < horizon and row.died >= later:
            return "activations"
        end = self.closing_time(phase)
        if name == "recompute" and row.died > end:
            return "activations"
        soon_dead = row.died < INFINITY and row.died <= horizon
        all_with_gradients = bool(self.gradients) and all(self.gradients)
        left_behind = name == "forward" and row.died > end and not returned
        if left_behind and soon_dead and all_with_gradients and later >= horizon:
            return "activations"
        if row.died < INFINITY and (row.died <= end or row.died <= horizon):
            return "temporary"
        if output:
            return "temporary"
        waits = later == INFINITY and row.died == INFINITY
        if name in FORWARD and waits and any(self.gradients):
            return "activations"
        return "unattributed"

    def automatic(self, phase: int) -> int:
        around = phase
        while around:
            if self.phases[around]["name"] in OURS:
                return around
            around = self.phases[around]["parent"]
        return phase

    def closing_time(self, phase: int) -> float:
        encloses = any(p["parent"] == phase for p in self.phases[1:])
        if phase == 0 or (self.phases[phase]["name"] not in OURS and encloses):
            return -1
        return self.phases[phase]["end"] if self.phases[phase]["end"] >= 0 else INFINITY

    def end_of_next_step(self, time: float) -> float:
        later = [begin for begin in self.steps if begin > time]
        return later[1] if len(later) > 1 else INFINITY
