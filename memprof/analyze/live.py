"""The live set: which allocations a device held at one moment, largest first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from memprof.analyze.levels import Levels
from memprof.analyze.phases import phase_path, seconds
from memprof.attribute import RULES
from memprof.trace import CATEGORIES, ORIGINS
from memprof.trace.document import Ints


@dataclass(frozen=True, slots=True)
class LiveTensor:
    """One allocation that is alive at a moment.

    Attributes:
        allocation: its index in `trace.allocations`.
        bytes: bytes asked for.
        category, rule: what it is, and the name of the rule that says so (`attribute.REASONS`).
        name: its own name where it has one, such as "lm_head.weight".
        module: the module it belongs to or that made it.
        op: the operation that made it.
        tensor: dtype and shape, "" where not recorded.
        stack: Python frames, innermost first; empty where not recorded.
        phase: path of the phase it was born in.
        born_seconds, freed_seconds: since the trace began; None where it never died.
        age_seconds: from its birth to the moment.
        streams: numbers of the streams that it was made for or is kept for by `record_stream`,
            without the device's default one.
        count: always 1; alike tensors are merged by `grouped_top`.
    """

    allocation: int
    bytes: int
    category: str
    rule: str
    name: str
    module: str
    op: str
    tensor: str
    stack: list[str]
    phase: str
    born_seconds: float
    freed_seconds: float | None
    age_seconds: float
    streams: tuple[int, ...] = ()
    count: int = 1


@dataclass(frozen=True)
class LiveSet:
    """The allocations alive at one moment.

    Attributes:
        levels: the device's recording.
        time_ns: the moment.
        allocations: indices, largest allocation first, older first among equals.
    """

    levels: Levels
    time_ns: int
    allocations: Ints

    def __len__(self) -> int:
        return len(self.allocations)

    @cached_property
    def nbytes(self) -> Ints:
        """Bytes of each of `allocations`."""
        return self.levels.trace.allocations.nbytes[self.allocations]

    def rows(self, limit: int | None = None, offset: int = 0) -> list[LiveTensor]:
        """Describes at most `limit` allocations, beginning with the one at place `offset`."""
        stop = len(self) if limit is None else offset + limit
        return [self.describe(int(index)) for index in self.allocations[offset:stop]]

    def describe(self, index: int) -> LiveTensor:
        """Describes the allocation of index `index`."""
        trace, attribution = self.levels.trace, self.levels.attribution
        rows, text = trace.allocations, trace.strings
        tensor, stack = self.details.get(index, (0, 0))
        born, death = int(trace.events.time_ns[rows.birth[index]]), int(rows.death[index])
        died = trace.events.time_ns[death] if death < len(trace.events) else None
        return LiveTensor(
            allocation=index,
            bytes=int(rows.nbytes[index]),
            category=CATEGORIES[attribution.category[index]],
            rule=RULES[attribution.rule[index]],
            name=text[attribution.name[index]],
            module=text[attribution.module[index]],
            op=text[rows.op[index]],
            tensor=text[tensor],
            stack=text[stack].splitlines(),
            phase=phase_path(trace, int(rows.phase[index])),
            born_seconds=seconds(trace, born),
            freed_seconds=None if died is None else seconds(trace, int(died)),
            age_seconds=(self.time_ns - born) / 1e9,
            streams=self.streams.get(index, ()),
        )

    def only(self, category: str = "", born_after_ns: int | None = None) -> LiveSet:
        """Those of one category, or made after a time of the trace's clock, or both."""
        trace, chosen = self.levels.trace, self.allocations
        kept = np.ones(len(chosen), bool)
        if category:
            kept &= self.levels.attribution.category[chosen] == CATEGORIES.index(category)
        if born_after_ns is not None:
            kept &= trace.events.time_ns[trace.allocations.birth[chosen]] > born_after_ns
            kept &= trace.allocations.origin[chosen] != ORIGINS.index("before")
        return LiveSet(self.levels, self.time_ns, chosen[kept])

    def by_module(self, depth: int | None = None) -> list[tuple[str, int, int]]:
        """Sums by the first `depth` parts of the module's path (None: all of it).

        Returns:
            Module, bytes and number of tensors, most bytes first.
        """
        module = self.levels.attribution.module[self.allocations]
        names, group = grouped_names(self.levels.trace.strings, module, depth)
        nbytes, count = np.zeros(len(names), np.int64), np.bincount(group, minlength=len(names))
        np.add.at(nbytes, group, self.nbytes)
        order = np.argsort(-nbytes, kind="stable")
        return [(names[i], int(nbytes[i]), int(count[i])) for i in order]

    @cached_property
    def streams(self) -> dict[int, tuple[int, ...]]:
        """The streams, up to the moment, of the allocations that have others than the default."""
        rows = self.levels.trace.streams
        known = (rows.recorded == 0) | (rows.time_ns <= self.time_ns)
        noted = known & np.isin(rows.allocation, self.allocations)
        found: dict[int, dict[int, None]] = {}
        for place in np.flatnonzero(noted):
            found.setdefault(int(rows.allocation[place]), {})[int(rows.stream[place])] = None
        return {allocation: tuple(numbers) for allocation, numbers in found.items()}

    @cached_property
    def details(self) -> dict[int, tuple[int, int]]:
        """Tensor text and stack text (string numbers) of the allocations that have them."""
        details = self.levels.trace.details
        chosen = np.flatnonzero(np.isin(details.allocation, self.allocations))
        texts = zip(details.tensor[chosen].tolist(), details.stack[chosen].tolist(), strict=True)
        return dict(zip(details.allocation[chosen].tolist(), texts, strict=True))


def live_set(levels: Levels, event: int, time_ns: int) -> LiveSet:
    """Finds what the device holds after event number `event`."""
    rows = levels.trace.allocations
    alive = (rows.birth <= event) & (rows.death > event) & (rows.device == levels.number)
    found = np.flatnonzero(alive)
    return LiveSet(levels, time_ns, found[np.argsort(-rows.nbytes[found], kind="stable")])


def grouped_names(
    strings: tuple[str, ...], numbers: Ints, depth: int | None
) -> tuple[list[str], Ints]:
    """Cuts dotted names to `depth` parts.

    Returns:
        The distinct names, and for each of `numbers` the place of its name among them.
    """
    distinct, place = np.unique(numbers, return_inverse=True)
    names: dict[str, int] = {}
    cut = [".".join(strings[number].split(".")[:depth]) for number in distinct]
    group = [names.setdefault(name, len(names)) for name in cut]
    return list(names), np.array(group, np.int64)[place]
