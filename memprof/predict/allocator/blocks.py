"""Blocks of memory, and the pools that keep those which nobody uses."""

from __future__ import annotations

from bisect import bisect_left, insort

from memprof.predict.allocator.sizes import LEAST_BLOCK, SMALL_REQUEST, round_up

PoolId = tuple[int, int]
DEFAULT_POOL: PoolId = (0, 0)


class Block:
    """A piece of a segment, linked to its neighbours in it.

    Attributes:
        address, size: where it is, in bytes.
        requested: bytes that were asked for, of the block's last use.
        pool: where it goes when it is free.
        free: whether it is there, with memory behind it. It is not while somebody holds it or a
            stream may still use it.
        mapped: whether there is memory behind its addresses; only parts of an expandable segment
            are ever without.
        before, after: its neighbours in the segment.
        reservation: the expandable segment it is a part of.
        streams: other streams that were told to use it.
        pending: streams that must finish before it is free.
        age_base: searches of its pools up to when it became free.
    """

    __slots__ = (
        "address",
        "after",
        "age_base",
        "before",
        "free",
        "mapped",
        "pending",
        "pool",
        "requested",
        "reservation",
        "size",
        "streams",
    )

    def __init__(self, address: int, size: int, pool: StreamPool) -> None:
        self.address = address
        self.size = size
        self.requested = 0
        self.pool = pool
        self.free = False
        self.mapped = True
        self.before: Block | None = None
        self.after: Block | None = None
        self.reservation: Reservation | None = None
        self.streams: set[int] | None = None
        self.pending: set[int] | None = None
        self.age_base = 0

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its segment."""
        return self.before is None and self.after is None

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.address + self.size

    def releasable(self) -> int:
        """Bytes that could go back to the device if it were free."""
        if self.reservation is None:
            return self.size if self.is_whole else 0
        if self.size < self.reservation.page:
            return 0
        begin, end = self.whole_pages()
        return max(0, end - begin)

    def whole_pages(self) -> tuple[int, int]:
        """Begin and end of the whole pages in it; end <= begin where there is none."""
        segment, end = self.reservation, self.end
        if segment is None:
            return self.address, end
        begin = segment.address + round_up(self.address - segment.address, segment.page)
        return begin, end - (end - segment.address) % segment.page

    def split(self, size: int) -> Block:
        """Keeps the first `size` bytes and gives the rest, as the neighbour after it."""
        rest = Block(self.address + size, self.size - size, self.pool)
        rest.reservation, rest.mapped = self.reservation, self.mapped
        rest.before, rest.after = self, self.after
        if self.after is not None:
            self.after.before = rest
        self.after = rest
        self.size = size
        return rest

    def absorb(self, other: Block) -> None:
        """Takes in a neighbour."""
        if other is self.before:
            self.address, self.before = other.address, other.before
            if self.before is not None:
                self.before.after = self
        else:
            self.after = other.after
            if self.after is not None:
                self.after.before = self
        self.size += other.size


class Reservation:
    """The addresses of an expandable segment; pages behind them come and go.

    Attributes:
        address, size: the whole range.
        page: bytes that are mapped and unmapped together.
    """

    __slots__ = ("address", "page", "size")

    def __init__(self, address: int, size: int, page: int) -> None:
        self.address = address
        self.size = size
        self.page = page


class StreamPool:
    """The free blocks of one stream in one arena.

    Attributes:
        arena: the pools of all streams that this one belongs to.
        stream: the stream's number.
        least_rest: a block is split if at least this much of it is left.
        free: its free blocks as (size, address, block), smallest first, then lowest.
        unmapped: addresses of its expandable segments without memory, as (address, block).
    """

    __slots__ = ("arena", "free", "least_rest", "stream", "unmapped")

    def __init__(self, arena: Arena, stream: int) -> None:
        self.arena = arena
        self.stream = stream
        self.least_rest = arena.least_rest
        self.free: list[tuple[int, int, Block]] = []
        self.unmapped: list[tuple[int, Block]] = []

    def put(self, block: Block) -> None:
        """Takes a block in."""
        if block.mapped:
            block.free = True
            block.age_base = self.arena.searches
            insort(self.free, (block.size, block.address, block))
        else:
            insort(self.unmapped, (block.address, block))

    def remove(self, block: Block) -> None:
        """Takes a block out."""
        if block.mapped:
            block.free = False
            del self.free[bisect_left(self.free, (block.size, block.address))]
        else:
            del self.unmapped[bisect_left(self.unmapped, (block.address,))]


class Arena:
    """The pools of one kind, small or large, by stream; a private pool has its own two.

    Attributes:
        small: whether it serves requests up to 1 MiB.
        owner: the private pool it belongs to, (0, 0) for the default ones.
        least_rest: a block is split if at least this much of it is left.
        pools: by stream.
        searches: how often a free block was looked for, while garbage is collected.
        reserved: bytes that the device gave it and has not got back.
    """

    __slots__ = ("least_rest", "owner", "pools", "reserved", "searches", "small")

    def __init__(self, small: bool, split_all: bool = False, owner: PoolId = DEFAULT_POOL) -> None:
        self.small = small
        self.owner = owner
        self.least_rest = LEAST_BLOCK if small or split_all else SMALL_REQUEST + 1
        self.pools: dict[int, StreamPool] = {}
        self.searches = 0
        self.reserved = 0

    def pool(self, stream: int) -> StreamPool:
        """The pool of a stream, made when it is first asked for."""
        pool = self.pools.get(stream)
        if pool is None:
            pool = self.pools[stream] = StreamPool(self, stream)
        return pool

    def in_order(self) -> list[StreamPool]:
        """Its pools by the number of their stream, in which order they give memory back."""
        return [pool for _, pool in sorted(self.pools.items())]
