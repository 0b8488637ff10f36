"""The caching allocator once more, slow and differently made: free memory is whatever is not used.

It keeps no list of free blocks and never merges anything. Each request looks at all memory: what
lies between used blocks is free. Written from PyTorch's documentation of its rules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

MIB = 1 << 20
TOP = 0x7F00_0000_0000


class OutOfMemoryError(Exception):
    pass


@dataclass
class Rules:
    expandable: bool = False
    max_split: float = math.inf
    non_split_rounding: int = 20 * MIB
    divisions: int = 0
    capacity: float = math.inf
    space: int | None = None


@dataclass(eq=False)
class Segment:
    """Pages of memory; a plain segment is one page as large as itself."""

    address: int
    page: int
    count: int
    stream: int
    small: bool
    mapped: set[int] = field(default_factory=set)

    @property
    def plain(self) -> bool:
        return self.count == 1

    def runs(self, used: dict[int, tuple[int, int]]) -> list[tuple[int, int, bool]]:
        """(begin, end, mapped) of all that is unused, neighbours of a kind together."""
        marks: list[tuple[int, int, str]] = []
        for page in range(self.count if self.plain else max(self.mapped, default=-1) + 1):
            begin = self.address + page * self.page
            marks.append((begin, begin + self.page, "m" if page in self.mapped else "u"))
        if not self.plain:
            last = marks[-1][1] if marks else self.address
            marks.append((last, self.address + self.count * self.page, "u"))
        pieces: list[list] = []
        mine = sorted((a, a + s) for a, (s, _) in used.items() if self.address <= a < self.end)
        for begin, end, kind in marks:
            for a, b in [*mine, (end, end)]:
                if b <= begin:
                    continue
                a = min(max(a, begin), end)
                if begin < a:
                    if pieces and pieces[-1][1] == begin and pieces[-1][2] == kind:
                        pieces[-1][1] = a
                    else:
                        pieces.append([begin, a, kind])
                begin = max(begin, min(b, end))
                if begin >= end:
                    break
        return [(a, b, kind == "m") for a, b, kind in pieces]

    @property
    def end(self) -> int:
        return self.address + self.count * self.page


class ReferenceAllocator:
    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.segments: list[Segment] = []
        self.used: dict[int, tuple[int, int]] = {}
        self.lowest = TOP
        #: (action, address, size, stream) of what was asked of the device, by PyTorch's names.
        self.log: list[tuple[str, int, int, int]] = []

    @property
    def reserved(self) -> int:
        return sum(len(segment.mapped) * segment.page for segment in self.segments)

    @property
    def allocated(self) -> int:
        return sum(size for size, _ in self.used.values())

    @property
    def fragmented(self) -> int:
        return self.reserved - self.allocated - sum(s.page for s, _ in self._idle_pages())

    def malloc(self, nbytes: int, stream: int = 0) -> int:
        size = self.rounded(nbytes)
        small = size <= MIB
        place = self._best(size, stream, small)
        if place is None:
            place = self._new(size, stream, small)
        if place is None and self._release_oversize(size, stream, small):
            place = self._new(size, stream, small)
        if place is None:
            self.empty_cache()
            place = self._new(size, stream, small)
        if place is None:
            raise OutOfMemoryError
        begin, end = place
        rest = end - begin - size
        if small or self.rules.expandable:
            split = rest >= 512
        else:
            split = rest > MIB and size < self.rules.max_split
        self.used[begin] = (size if split else end - begin, nbytes)
        return begin

    def free(self, address: int) -> None:
        del self.used[address]

    def empty_cache(self) -> None:
        """Large pools first, each by stream, then by size and address of what is free."""
        streams = sorted({segment.stream for segment in self.segments})
        idle = self._idle_pages()
        for small in (False, True):
            for stream in streams:
                for size, begin, _ in self._gaps(stream, small):
                    self._release(begin, begin + size, idle)

    def _release(self, begin: int, end: int, idle: list[tuple[Segment, int]]) -> None:
        pages = [(s, p) for s, p in idle if begin <= s.address + p * s.page < end]
        if not pages:
            return
        segment, first = pages[0]
        segment.mapped -= {page for _, page in pages}
        action = "segment_free" if segment.plain else "segment_unmap"
        address, size = segment.address + first * segment.page, len(pages) * segment.page
        self.log.append((action, address, size, segment.stream))
        if not segment.mapped:
            self.segments.remove(segment)

    def rounded(self, nbytes: int) -> int:
        divisions = self.rules.divisions
        if divisions > 1 and nbytes > 512 * divisions:
            power = 2 ** math.floor(math.log2(nbytes))
            step = power // divisions
            return math.ceil(nbytes / step) * step
        return max(512, math.ceil(nbytes / 512) * 512)

    def _idle_pages(self) -> list[tuple[Segment, int]]:
        found = []
        for segment in self.segments:
            runs = [(a, b) for a, b, mapped in segment.runs(self.used) if mapped]
            for page in segment.mapped:
                begin = segment.address + page * segment.page
                if any(a <= begin and begin + segment.page <= b for a, b in runs):
                    found.append((segment, page))
        return sorted(found, key=lambda pair: pair[1])

    def _gaps(self, stream: int, small: bool) -> list[tuple[int, int, int]]:
        """(size, begin, room to grow to) of all free memory of a pool."""
        gaps = []
        for segment in self.segments:
            if (segment.stream, segment.small) != (stream, small):
                continue
            runs = segment.runs(self.used)
            for a, b, mapped in runs:
                if mapped:
                    after = next((e - s for s, e, m in runs if s == b and not m), 0)
                    gaps.append((b - a, a, b - a + after))
        return sorted(gaps)

    def _best(self, size: int, stream: int, small: bool) -> tuple[int, int] | None:
        fits = [gap for gap in self._gaps(stream, small) if gap[0] >= size]
        if not fits:
            return None
        while self.rules.expandable and len(fits) > 1 and fits[1][2] < fits[0][2]:
            fits.pop(0)
        found, begin, _ = fits[0]
        limit = self.rules.max_split
        if size < limit <= found:
            return None
        if size >= limit and found >= size + self.rules.non_split_rounding:
            return None
        return begin, begin + found

    def _new(self, size: int, stream: int, small: bool) -> tuple[int, int] | None:
        if self.rules.expandable:
            return self._expand(size, stream, small)
        if small:
            nbytes = 2 * MIB
        elif size < 10 * MIB:
            nbytes = 20 * MIB
        else:
            nbytes = math.ceil(size / (2 * MIB)) * 2 * MIB
        if self.reserved + nbytes > self.rules.capacity:
            return None
        self.lowest -= nbytes
        self.segments.append(Segment(self.lowest, nbytes, 1, stream, small, {0}))
        self.log.append(("segment_alloc", self.lowest, nbytes, stream))
        return self.lowest, self.lowest + nbytes

    def _expand(self, size: int, stream: int, small: bool) -> tuple[int, int] | None:
        begin, segment = self._lowest_room(size, stream, small)
        page = segment.page
        first = (begin - segment.address) // page
        last = (begin + size - 1 - segment.address) // page
        wanted = [p for p in range(first, last + 1) if p not in segment.mapped]
        # Hole by hole, as far as there is memory.
        while wanted:
            hole = [wanted.pop(0)]
            while wanted and wanted[0] == hole[-1] + 1:
                hole.append(wanted.pop(0))
            if self.reserved + len(hole) * page > self.rules.capacity:
                return None
            segment.mapped.update(hole)
            start = segment.address + hole[0] * page
            self.log.append(("segment_map", start, len(hole) * page, stream))
        runs = segment.runs(self.used)
        return next((a, b) for a, b, mapped in runs if mapped and a == begin)

    def _lowest_room(self, size: int, stream: int, small: bool) -> tuple[int, Segment]:
        pools = [s for s in self.segments if (s.stream, s.small) == (stream, small)]
        for segment in sorted(pools, key=lambda s: s.address):
            runs = segment.runs(self.used)
            for place, (begin, _, mapped) in enumerate(runs):
                if mapped:
                    continue
                if place and runs[place - 1][1] == begin:
                    place -= 1
                start, reach = runs[place][0], runs[place][0]
                for a, b, _ in runs[place:]:
                    if a != reach:
                        break
                    reach = b
                if reach - start >= size:
                    return start, segment
        page = 2 * MIB if small else 20 * MIB
        capacity = self.rules.capacity
        if self.rules.space is not None:
            space = self.rules.space
        else:
            space = (1 << 40) if capacity == math.inf else int(capacity) + int(capacity) // 8
        count = math.ceil(space / page)
        self.lowest -= count * page
        segment = Segment(self.lowest, page, count, stream, small)
        self.segments.append(segment)
        return self.lowest, segment

    def _release_oversize(self, size: int, stream: int, small: bool) -> bool:
        limit = self.rules.max_split
        if limit == math.inf or self.rules.expandable:
            return False
        wanted = max(size, limit)
        gaps = [gap[:2] for gap in self._gaps(stream, small)]
        chosen = [gap for gap in gaps if gap[0] >= wanted][:1]
        if not chosen:
            total = 0
            for gap in reversed(gaps):
                if total >= wanted or gap[0] < limit:
                    break
                chosen.append(gap)
                total += gap[0]
        idle = self._idle_pages()
        for found, begin in chosen:
            self._release(begin, begin + found, idle)
        return sum(gap[0] for gap in chosen) >= wanted
