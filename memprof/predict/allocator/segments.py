"""Memory on its way from the device to the pools and back: segments, whole or page by page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from memprof.predict.allocator.blocks import Arena, Block, Reservation, StreamPool
from memprof.predict.allocator.device import Device
from memprof.predict.allocator.settings import AllocatorSettings
from memprof.predict.allocator.sizes import SMALL_SEGMENT, round_up, segment_request

#: Addresses of an expandable segment on a device of unknown size.
AMPLE: Final = 1 << 40


@dataclass(slots=True)
class Levels:
    """Bytes at this moment, and the most they ever were.

    Attributes:
        requested: that programs asked for and hold, or streams still use.
        allocated: the blocks that programs hold.
        pending: blocks that were freed while other streams may still use them.
        reserved: got from the device.
        releasable: free, and not tied to a segment by a neighbour in use.
    """

    requested: int = 0
    allocated: int = 0
    pending: int = 0
    reserved: int = 0
    releasable: int = 0
    requested_peak: int = 0
    allocated_peak: int = 0
    reserved_peak: int = 0

    @property
    def fragmented(self) -> int:
        """Bytes that nobody uses and the allocator cannot give back."""
        return self.reserved - self.allocated - self.pending - self.releasable


class Segments:
    """Gets segments for pools from a device, and gives them back.

    Attributes:
        levels: kept up to date here and by the allocator.
        allocations, releases: calls of the device.
    """

    def __init__(
        self,
        settings: AllocatorSettings,
        device: Device,
        levels: Levels,
        capacity: int | None = None,
    ) -> None:
        self.levels = levels
        self.allocations = 0
        self.releases = 0
        self._settings = settings
        self._device = device
        self._address_space = AMPLE if capacity is None else capacity + capacity // 8
        fraction = settings.memory_fraction
        self.allowed = None if fraction is None or capacity is None else int(fraction * capacity)

    def get(self, pool: StreamPool, size: int) -> Block | None:
        """Gets a block of at least `size` bytes, None where the device has none left."""
        nbytes = segment_request(size, self._settings)
        if self.allowed is not None and self.levels.reserved + nbytes > self.allowed:
            return None
        if self._settings.expandable_segments:
            return self._grow(pool, size)
        address = self._device.allocate(nbytes, pool.stream, pool.arena.small)
        if address is None:
            return None
        self.count(pool, nbytes)
        return Block(address, nbytes, pool)

    def put_back(self, block: Block) -> None:
        """Puts a block into its pool, as one with its free neighbours."""
        before, after = block.before, block.after
        if before is not None and before.free:
            self._absorb(block, before)
        if after is not None and after.free:
            self._absorb(block, after)
        self.put(block)

    def put(self, block: Block) -> None:
        """Puts a block into its pool."""
        block.pool.put(block)
        # A block with neighbours, outside expandable segments, is tied to them.
        if block.reservation is not None or (block.before is None and block.after is None):
            self.levels.releasable += block.releasable()

    def take(self, block: Block) -> None:
        """Takes a block out of its pool."""
        block.pool.remove(block)
        if block.reservation is not None or (block.before is None and block.after is None):
            self.levels.releasable -= block.releasable()

    def take_at(self, pool: StreamPool, place: int) -> Block:
        """Takes the block at a place among the free ones of a pool."""
        block = pool.free.pop(place)[2]
        block.free = False
        if block.reservation is not None or (block.before is None and block.after is None):
            self.levels.releasable -= block.releasable()
        return block

    def _absorb(self, block: Block, neighbour: Block) -> None:
        self.take(neighbour)
        block.absorb(neighbour)

    def release_unused(self, arena: Arena) -> None:
        """Gives back whatever nobody uses, smallest first, stream by stream."""
        whole, parts = _unused(arena)
        for block in whole:
            self.release(block)
        for block in parts:
            self._shrink(block)

    def release(self, block: Block) -> None:
        """Gives a free block back that is a whole segment."""
        self.take(block)
        self.count(block.pool, -block.size)
        self._device.release(block.address, block.size, block.pool.stream)

    def count(self, pool: StreamPool, nbytes: int) -> None:
        """Notes that the device gave or took memory."""
        levels = self.levels
        levels.reserved += nbytes
        levels.reserved_peak = max(levels.reserved_peak, levels.reserved)
        pool.arena.reserved += nbytes
        if nbytes > 0:
            self.allocations += 1
        else:
            self.releases += 1

    def _grow(self, pool: StreamPool, size: int) -> Block | None:
        """Maps pages behind the lowest free addresses until `size` bytes lie there in one block."""
        block = self._lowest_room(pool, size)
        if not block.mapped and not self._map(block, min(block.size, size)):
            return None
        while block.size < size:
            following = block.after
            if following is None or not self._map(
                following, min(following.size, size - block.size)
            ):
                return None
            block = following
        self.take(block)
        return block

    def _lowest_room(self, pool: StreamPool, size: int) -> Block:
        """Finds the first of the free blocks, mapped or not, that are `size` bytes together."""
        for _, unmapped in pool.unmapped:
            before = unmapped.before
            first = before if before is not None and before.free else unmapped
            if _has_room(first, size):
                return first
        return self._reserve(pool)

    def _reserve(self, pool: StreamPool) -> Block:
        small = pool.arena.small
        page = SMALL_SEGMENT if small else self._settings.large_segment_bytes
        nbytes = round_up(self._address_space, page)
        address = self._device.reserve(nbytes, pool.stream, small)
        block = Block(address, nbytes, pool)
        block.mapped = False
        block.reservation = Reservation(address, nbytes, page)
        pool.put(block)
        return block

    def _map(self, block: Block, nbytes: int) -> bool:
        """Maps the first `nbytes` of an unmapped block, and joins it to its free neighbours."""
        assert block.reservation is not None
        pool, mapped = block.pool, round_up(nbytes, block.reservation.page)
        if not self._device.map(block.address, mapped, pool.stream):
            return False
        pool.remove(block)
        if mapped < block.size:
            pool.put(block.split(mapped))
        block.mapped = True
        self.put_back(block)
        self.count(pool, mapped)
        return True

    def _shrink(self, block: Block) -> None:
        """Unmaps the whole pages of a free block; a segment without any page goes."""
        begin, end = block.whole_pages()
        pool = block.pool
        self.take(block)
        if end < block.end:
            pool.put(block.split(end - block.address))
        if begin > block.address:
            front, block = block, block.split(begin - block.address)
            pool.put(front)
        block.mapped = False
        self._join_unmapped(block)
        self.count(pool, begin - end)
        self._device.unmap(begin, end - begin, pool.stream)
        if block.is_whole:
            pool.remove(block)
            self._device.unreserve(block.address)

    def _join_unmapped(self, block: Block) -> None:
        for neighbour in (block.before, block.after):
            if neighbour is not None and not neighbour.mapped:
                block.pool.remove(neighbour)
                block.absorb(neighbour)
        block.pool.put(block)


def _has_room(first: Block, size: int) -> bool:
    found, block = 0, first
    while found < size and (block.free or not block.mapped):
        found += block.size
        if block.after is None:
            break
        block = block.after
    return found >= size


def unused(arena: Arena) -> list[tuple[int, int]]:
    """Gives address and size of what `release_unused` would give back, in its order."""
    whole, parts = _unused(arena)
    pages = [block.whole_pages() for block in parts]
    return [
        *((block.address, block.size) for block in whole),
        *((begin, end - begin) for begin, end in pages),
    ]


def _unused(arena: Arena) -> tuple[list[Block], list[Block]]:
    """Free blocks that are whole segments, and those with whole pages of expandable ones."""
    free = [block for pool in arena.in_order() for _, _, block in pool.free]
    whole = [block for block in free if block.reservation is None and block.is_whole]
    return whole, [b for b in free if b.reservation is not None and b.releasable() > 0]
