"""Live tensors that are alike, merged: 32 layers' activations make one row."""

from __future__ import annotations

import re
from dataclasses import dataclass

from memprof.analyze.live import LiveSet, LiveTensor
from memprof.analyze.moment import Moment

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class TensorGroup:
    """Tensors alike: same category, size, operation, dtype and shape; same names but for numbers.

    Attributes:
        bytes: of all of them together.
        bytes_each: of one.
        count: how many they are.
        name, module: with every number written "*" where they are several.
        example: the first of them.
    """

    bytes: int
    bytes_each: int
    count: int
    category: str
    name: str
    module: str
    op: str
    tensor: str
    example: LiveTensor


def pattern(text: str) -> str:
    """A name with every number in it written "*": alike modules have one."""
    return _NUMBER.sub("*", text)


def grouped_top(moment: Moment, count: int) -> list[TensorGroup]:
    """Merges alike tensors alive at a moment and returns the `count` largest groups."""
    return grouped(moment.live(), count)


def grouped(live: LiveSet, count: int | None = None) -> list[TensorGroup]:
    """Merges alike tensors and returns the `count` largest groups, or all."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, traits in zip(live.allocations.tolist(), _traits(live), strict=True):
        groups.setdefault(traits, []).append(index)
    sizes = live.levels.trace.allocations.nbytes
    largest = sorted(groups.values(), key=lambda group: -int(sizes[group[0]]) * len(group))
    return [_group(live, group) for group in largest[:count]]


def _traits(live: LiveSet) -> list[tuple[object, ...]]:
    trace, attribution = live.levels.trace, live.levels.attribution
    chosen = live.allocations
    patterns: dict[int, str] = {}

    def pattern_of(number: int) -> str:
        if number not in patterns:
            patterns[number] = pattern(trace.strings[number])
        return patterns[number]

    return [
        (
            category,
            nbytes,
            op,
            pattern_of(module),
            pattern_of(name),
            live.details.get(index, (0, 0))[0],
        )
        for index, category, nbytes, op, module, name in zip(
            chosen.tolist(),
            attribution.category[chosen].tolist(),
            live.nbytes.tolist(),
            trace.allocations.op[chosen].tolist(),
            attribution.module[chosen].tolist(),
            attribution.name[chosen].tolist(),
            strict=True,
        )
    ]


def _group(live: LiveSet, members: list[int]) -> TensorGroup:
    first, several = live.describe(members[0]), len(members) > 1
    return TensorGroup(
        bytes=first.bytes * len(members),
        bytes_each=first.bytes,
        count=len(members),
        category=first.category,
        name=pattern(first.name) if several else first.name,
        module=pattern(first.module) if several else first.module,
        op=first.op,
        tensor=first.tensor,
        example=first,
    )
