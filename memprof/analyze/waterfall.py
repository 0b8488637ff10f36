"""From what tensors asked for up to what the driver reports: five levels, every gap named.

The levels were measured at different moments. What the allocator said is carried to the moment at
hand by the births and deaths in between; of what the driver said the larger of the two samples
around it counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np

from memprof.analyze.driver import uuid_of
from memprof.analyze.levels import Levels
from memprof.analyze.moment import Moment
from memprof.analyze.samples import Series, series
from memprof.trace import Trace

LEVELS: Final = ("requested", "allocated", "reserved", "process", "device")

#: CUDA's allocator rounds every request up to a multiple of this.
BLOCK_BYTES: Final = 512

#: What the rest of a gap is, once its other parts are known, by the levels on both sides.
_REST: Final = {
    ("requested", "allocated"): "rounding",
    ("allocated", "reserved"): "cached",
    ("requested", "reserved"): "cached",
    ("reserved", "process"): "libraries",
    ("reserved", "device"): "outside",
    ("requested", "process"): "outside_tensors",
}
UNEXPLAINED: Final = "unexplained"

#: What the levels are, for people.
LEVEL_TEXTS: Final = {
    "requested": "requested by tensors",
    "allocated": "allocated",
    "reserved": "reserved",
    "process": "this process",
    "device": "device",
}
#: What the gaps are, for people.
GAP_TEXTS: Final = {
    "unseen": "seen by the allocator alone: workspaces of cuBLAS and other libraries",
    "rounding": "rounding up to blocks of 512 B",
    "unsplit": "rests of blocks too small to split",
    "pending": "freed, waiting for another stream",
    "graph_pools": "free in the pools of CUDA graphs",
    "fragmented": "free in pieces smaller than the largest tensor",
    "cached": "cached, free for reuse",
    "context": "CUDA context and kernels, as at the first sample",
    "libraries": "libraries since then: NCCL, cuDNN, kernels loaded later",
    "outside": "context, libraries and what else is on the device",
    "other_processes": "other processes",
    "outside_tensors": "Python, libraries, memory not yet given back",
    "untouched": "asked for and not touched yet",
    "unexplained": "not explained",
}


@dataclass(frozen=True, slots=True)
class Gap:
    """A part of what lies between two levels; below 0 where it takes bytes away."""

    lower: str
    upper: str
    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Waterfall:
    """The levels of a device at a moment, and what lies between them.

    Attributes:
        levels: every one of `LEVELS`, None where nothing was measured.
        gaps: lowest first; those between two levels sum to their difference.
    """

    levels: Mapping[str, int | None]
    gaps: tuple[Gap, ...]

    def document(self) -> dict[str, Any]:
        """The same as plain data: the levels, and `gaps`."""
        return {**self.levels, "gaps": [asdict(gap) for gap in self.gaps]}


def waterfall(trace: Trace, device: str, moment: Moment) -> Waterfall:
    """Explains the bytes of `device` at a moment, level by level.

    Host memory has only the bytes that tensors requested and the process's resident memory.
    """
    parts: dict[str, int] = {}
    levels: dict[str, int | None] = dict.fromkeys(LEVELS)
    levels["requested"] = moment.requested_bytes
    if device.partition(":")[0] == "cpu":
        levels["process"] = series(trace, "host/rss_bytes").around(moment.time_ns)
    else:
        sampled = _Sampled(trace, device, uuid_of(trace, device), moment)
        levels |= sampled.levels(parts)
    return Waterfall(levels, gaps(levels, parts))


def gaps(levels: Mapping[str, int | None], parts: Mapping[str, int]) -> tuple[Gap, ...]:
    """Names what lies between known levels, by the `parts` that are known and by the rest."""
    known = [(name, nbytes) for name, nbytes in levels.items() if nbytes is not None]
    found: list[Gap] = []
    for (lower, low), (upper, high) in pairwise(known):
        between = LEVELS[LEVELS.index(lower) : LEVELS.index(upper)]
        named = {part: parts[part] for part in _parts_above(between) if part in parts}
        found += [Gap(lower, upper, part, nbytes) for part, nbytes in named.items()]
        rest = high - low - sum(named.values())
        found.append(Gap(lower, upper, _name_of_rest(lower, upper, rest), rest))
    return tuple(gap for gap in found if gap.bytes)


_PARTS: Final = {
    "requested": ("unseen", "rounding", "unsplit"),
    "allocated": ("pending", "graph_pools", "fragmented"),
    "reserved": ("context",),
    "process": ("other_processes",),
}


def _parts_above(levels: tuple[str, ...]) -> list[str]:
    return [part for level in levels for part in _PARTS[level]]


def _name_of_rest(lower: str, upper: str, rest: int) -> str:
    if (lower, upper) == ("requested", "process") and rest < 0:
        return "untouched"
    return _REST.get((lower, upper), UNEXPLAINED) if rest > 0 else UNEXPLAINED


@dataclass(frozen=True, slots=True)
class _Sampled:
    """What was sampled of one CUDA device around a moment."""

    trace: Trace
    device: str
    uuid: str
    moment: Moment

    def levels(self, parts: dict[str, int]) -> dict[str, int | None]:
        """The levels above `requested`; puts what is known of the gaps into `parts`."""
        self._cached(parts)
        reserved = self._allocator("reserved_bytes")
        process = self._driver("process_bytes")
        self._outside(parts, reserved, process)
        return {
            "allocated": self._allocated(parts),
            "reserved": reserved.around(self.moment.time_ns),
            "process": process.around(self.moment.time_ns),
            "device": self._driver("used_bytes").around(self.moment.time_ns),
        }

    def _allocator(self, name: str) -> Series:
        return series(self.trace, f"{self.device}/{name}")

    def _driver(self, name: str) -> Series:
        return series(self.trace, f"nvml/{self.uuid}/{name}")

    def _allocated(self, parts: dict[str, int]) -> int | None:
        requested, allocated = (
            self._allocator("requested_bytes"),
            self._allocator("allocated_bytes"),
        )
        sampled_ns = requested.nearest_ns(self.moment.time_ns)
        handed_out = None if sampled_ns is None else allocated.at(sampled_ns)
        asked = None if sampled_ns is None else requested.at(sampled_ns)
        if sampled_ns is None or handed_out is None or asked is None:
            return allocated.around(self.moment.time_ns)
        recorded, rounding = _recorded(self.moment.levels, sampled_ns)
        parts["unseen"] = asked - recorded
        parts["unsplit"] = handed_out - asked - rounding
        parts["rounding"] = _recorded(self.moment.levels, self.moment.time_ns)[1]
        return self.moment.requested_bytes + sum(
            parts[name] for name in ("unseen", "unsplit", "rounding")
        )

    def _cached(self, parts: dict[str, int]) -> None:
        """The parts of what is reserved and not handed out, of the latest samples."""
        at = self.moment.time_ns
        active = self._allocator("active_bytes").at(at)
        allocated = self._allocator("allocated_bytes").at(at)
        if active is not None and allocated is not None:
            parts["pending"] = active - allocated
        pools = self._allocator("graph_pools_free_bytes").at(at)
        if pools is not None:
            parts["graph_pools"] = pools
        small = self._allocator("fragmented_bytes").at(at)
        split = self._allocator("inactive_split_bytes").at(at)
        fragmented = split if small is None else small
        if fragmented is not None:
            parts["fragmented"] = fragmented

    def _outside(self, parts: dict[str, int], reserved: Series, process: Series) -> None:
        """What the process held at its first sample beyond the allocator, and what others hold."""
        others = self._driver("other_processes_bytes").at(self.moment.time_ns)
        if others is not None:
            parts["other_processes"] = others
        if len(process) and len(reserved):
            first_ns = int(process.time_ns[0])
            held = reserved.at(first_ns) or 0
            parts["context"] = max(0, int(process.value[0]) - held)


def _recorded(levels: Levels, time_ns: int) -> tuple[int, int]:
    """Bytes requested by what was alive then, and how many the allocator added to round them up."""
    count = int(np.searchsorted(levels.time_ns, time_ns, side="right"))
    delta = levels.delta[:count]
    return int(delta.sum()), int((np.sign(delta) * (-np.abs(delta) % BLOCK_BYTES)).sum())
