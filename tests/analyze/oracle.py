"""A plain replay of a trace: a dict of what is alive, changed event by event."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from memprof.trace import CATEGORIES, Trace


@dataclass
class State:
    """What one device holds after an event."""

    event: int
    time_ns: int
    alive: dict[int, int]
    by_category: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.alive.values())


class Replay:
    """Every state of one device: `states[0]` is the empty one before the first event."""

    def __init__(self, trace: Trace, category: list[str], device: str) -> None:
        self.trace = trace
        self.category = category
        self.states = [State(-1, trace.begin_ns, {}, dict.fromkeys(CATEGORIES, 0))]
        alive: dict[int, int] = {}
        for event in range(len(trace.events)):
            allocation = int(trace.events.allocation[event])
            if trace.strings[trace.allocations.device[allocation]] != device:
                continue
            if trace.events.freed[event]:
                del alive[allocation]
            else:
                alive[allocation] = int(trace.allocations.nbytes[allocation])
            self._note(event, alive)

    def _note(self, event: int, alive: dict[int, int]) -> None:
        sums: Counter[str] = Counter(dict.fromkeys(CATEGORIES, 0))
        for allocation, nbytes in alive.items():
            sums[self.category[allocation]] += nbytes
        time_ns = int(self.trace.events.time_ns[event])
        self.states.append(State(event, time_ns, dict(alive), dict(sums)))

    @property
    def events(self) -> list[int]:
        return [state.event for state in self.states[1:]]

    def peak(self) -> State:
        """The first of the highest states."""
        highest = max(state.total for state in self.states)
        after_first = self.states[1:] or self.states
        return next(state for state in after_first if state.total == highest)

    def category_peak(self, category: str) -> tuple[int, int]:
        """Highest bytes of a category and the first event that reached them."""
        highest = max(state.by_category[category] for state in self.states)
        if not highest:
            return 0, -1
        first = next(s for s in self.states if s.by_category[category] == highest)
        return highest, first.event

    def after_event(self, event: int) -> State:
        """The state after an event of any device."""
        return [state for state in self.states if state.event <= event][-1]

    def at_time(self, time_ns: int) -> State:
        """The state at a time, events at that very time included."""
        return [s for s in self.states if s.event < 0 or s.time_ns <= time_ns][-1]

    def window(self, begin_ns: int, end_ns: int) -> list[State]:
        """The states that begin within a window of time."""
        return [s for s in self.states[1:] if begin_ns <= s.time_ns <= end_ns]
