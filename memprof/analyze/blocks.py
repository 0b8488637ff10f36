"""The allocations of a window as rectangles: time across, bytes up, none over another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memprof.analyze.levels import Levels
from memprof.trace import CATEGORIES
from memprof.trace.document import Ints

MOST_BLOCKS = 4_000
_NEARLY_ALL = 0.98  # of the window
_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Blocks:
    """Allocations that live within a window, each with a place of its own.

    Attributes:
        allocations: indices of those that are drawn, the oldest first.
        begin_ns, end_ns: the part of each one's life that lies in the window.
        offset: bytes below each: those that stay longest lie lowest. No place is that of the
            allocator, and what is above a hole is not held up by it.
        nbytes: of each.
        total: how many allocations live in the window, `spanning` ones included.
        spanning: of how many the life spans the window, but for 2 % of it at most.
        spanning_bytes: what these hold together.
        hidden_bytes: the same where these are hidden, else 0.
        left_out: smallest ones that are not drawn because there are too many.
    """

    allocations: Ints
    begin_ns: Ints
    end_ns: Ints
    offset: Ints
    nbytes: Ints
    total: int
    spanning: int
    spanning_bytes: int
    hidden_bytes: int
    left_out: int

    @property
    def height(self) -> int:
        """Upper edge of the highest."""
        return int((self.offset + self.nbytes).max(initial=0))


def blocks(
    levels: Levels,
    begin_ns: int,
    end_ns: int,
    *,
    categories: Sequence[str] = CATEGORIES,
    hide_spanning: bool = False,
    most: int = MOST_BLOCKS,
) -> Blocks:
    """Lays out what a device held within a window.

    Args:
        levels: the device.
        begin_ns: where the window begins.
        end_ns: where it ends.
        categories: of which categories.
        hide_spanning: leave out what spans the window.
        most: how many to draw at most; of more, the largest.
    """
    trace = levels.trace
    rows, times = trace.allocations, trace.events.time_ns
    first = int(np.searchsorted(times, begin_ns, side="left"))
    last = int(np.searchsorted(times, end_ns, side="right"))
    here = np.flatnonzero((rows.birth < last) & (rows.death >= first) & _among(levels, categories))
    born = np.maximum(times[rows.birth[here]], begin_ns)
    died = np.minimum(np.append(times, end_ns)[rows.death[here]], end_ns)
    spans = died - born > _NEARLY_ALL * (end_ns - begin_ns)
    drawn = np.flatnonzero(~spans) if hide_spanning else np.arange(len(here))
    place = np.sort(_largest(rows.nbytes[here], drawn, most))
    chosen = here[place]
    spanning_bytes = int(rows.nbytes[here[spans]].sum())
    return Blocks(
        allocations=chosen,
        begin_ns=born[place],
        end_ns=died[place],
        offset=_offsets(
            rows.nbytes[chosen],
            np.maximum(rows.birth[chosen], first - 1),
            np.minimum(rows.death[chosen], last),
            died[place] - born[place],
        ),
        nbytes=rows.nbytes[chosen],
        total=len(here),
        spanning=int(spans.sum()),
        spanning_bytes=spanning_bytes,
        hidden_bytes=spanning_bytes if hide_spanning else 0,
        left_out=len(drawn) - len(place),
    )


def _among(levels: Levels, categories: Sequence[str]) -> _Mask:
    here: _Mask = levels.trace.allocations.device == levels.number
    if len(categories) < len(CATEGORIES):
        numbers = [CATEGORIES.index(category) for category in categories]
        here &= np.isin(levels.attribution.category, numbers)
    return here


def _largest(nbytes: Ints, allocations: Ints, most: int) -> Ints:
    """The largest of some allocations; of equals, the older."""
    if len(allocations) <= most:
        return allocations
    return allocations[np.argsort(-nbytes[allocations], kind="stable")[:most]]


def _offsets(nbytes: Ints, begin: Ints, end: Ints, lasting: Ints) -> Ints:
    """Places the longest-lived first, each as low as it fits beside those placed already."""
    offset, placed = np.zeros(len(nbytes), np.int64), _Placed(len(nbytes))
    for row in np.argsort(-lasting, kind="stable").tolist():
        place = placed.lowest(int(begin[row]), int(end[row]), int(nbytes[row]))
        offset[row] = place
        placed.add(int(begin[row]), int(end[row]), place, int(nbytes[row]))
    return offset


class _Placed:
    """Rectangles that have a place, kept in the order of their lower edges."""

    def __init__(self, most: int) -> None:
        self._count = 0
        #: begin, end, lower edge and upper edge, a column a rectangle
        self._edges = np.zeros((4, most), np.int64)

    def lowest(self, begin: int, end: int, size: int) -> int:
        """The lowest place where a rectangle of that life and size overlaps none."""
        begins, ends, lower, upper = self._edges[:, : self._count]
        beside = np.flatnonzero((begins < end) & (ends > begin))
        top = np.maximum.accumulate(np.append(0, upper[beside]))
        fits = lower[beside] - top[:-1] >= size
        first = int(np.argmax(fits)) if fits.any() else -1
        return int(top[first])

    def add(self, begin: int, end: int, lower: int, size: int) -> None:
        """Remembers a rectangle."""
        at = int(np.searchsorted(self._edges[2, : self._count], lower))
        self._edges[:, at + 1 : self._count + 1] = self._edges[:, at : self._count]
        self._edges[:, at] = begin, end, lower, lower + size
        self._count += 1
