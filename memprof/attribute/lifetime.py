"""What an allocation's lifetime says of it: phases, steps, and where backward comes in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from memprof.attribute.rules import AUTOMATIC_PHASES
from memprof.trace import FORWARD_PHASES, Trace
from memprof.trace.document import Ints

Flags = npt.NDArray[np.bool_]
NEVER: Final = (1 << 63) - 1


@dataclass(frozen=True)
class Lifetimes:
    """When allocations live, an entry an allocation.

    Attributes:
        born_ns, died_ns: `NEVER` where it did not die.
        phase: number of the nearest phase around its birth that memprof opened, else the phase
            itself.
        horizon_ns: the end of the step after the one it was born in; `NEVER` where there is none.
    """

    trace: Trace
    born_ns: Ints
    died_ns: Ints
    phase: Ints
    horizon_ns: Ints

    @property
    def died(self) -> Flags:
        """Allocations whose death was seen."""
        return self.died_ns < NEVER

    def born_in(self, *names: str) -> Flags:
        """Allocations born in a phase of one of these names."""
        named: Flags = _named(self.trace, names)[self.phase]
        return named

    def phase_end_ns(self) -> Ints:
        """End of the phase of birth; -1 in a user's that encloses others, and in phase 0."""
        phases = self.trace.phases
        ends = np.where(phases.end_ns < 0, NEVER, phases.end_ns)
        encloses = np.zeros(len(phases), bool)
        encloses[phases.parent] = True
        closed = _named(self.trace, AUTOMATIC_PHASES) | ~encloses
        return np.where(closed, ends, -1)[self.phase]

    def next_backward_ns(self) -> Ints:
        """Begin of the first backward after the birth; `NEVER` where none comes."""
        begins = np.sort(self.trace.phases.begin_ns[_named(self.trace, ("backward",))])
        return _entry_after(begins, np.searchsorted(begins, self.born_ns, side="right"))

    def cut_off(self) -> Flags:
        """Allocations that the early end of a trace leaves alive in a phase that never ended."""
        if self.trace.complete:
            return np.zeros(len(self.born_ns), bool)
        unfinished = self.trace.phases.end_ns < 0
        unfinished[0] = False
        return ~self.died & unfinished[self.phase]


def lifetimes(trace: Trace) -> Lifetimes:
    """Works out when and in what phase and step each allocation lives."""
    allocations, events = trace.allocations, trace.events
    born = events.time_ns[allocations.birth]
    died = _entry_after(events.time_ns, allocations.death)
    steps = np.sort(trace.steps.begin_ns)
    horizon = _entry_after(steps, np.searchsorted(steps, born, side="right") + 1)
    return Lifetimes(trace, born, died, _automatic(trace)[allocations.phase], horizon)


def forward_born(lives: Lifetimes) -> Flags:
    """Allocations made by a model's forward computation."""
    return lives.born_in(*FORWARD_PHASES)


def _entry_after(values: Ints, place: Ints) -> Ints:
    return np.append(values, NEVER)[np.minimum(place, len(values))]


def _named(trace: Trace, names: tuple[str, ...]) -> Flags:
    wanted = [number for number, text in enumerate(trace.strings) if text in names]
    named: npt.NDArray[Any] = np.isin(trace.phases.name, wanted)
    return named


def _automatic(trace: Trace) -> Ints:
    """For each phase the nearest around it that memprof opened; itself where there is none."""
    own = np.arange(len(trace.phases))
    wanted = _named(trace, AUTOMATIC_PHASES)
    nearest = np.where(wanted, own, trace.phases.parent)
    nearest[0] = 0
    for _ in range(len(own).bit_length()):
        nearest = nearest[nearest]
    return np.where(wanted[nearest], nearest, own)
