"""PyTorch's native CUDA caching allocator, as a model that gives the same addresses."""

from __future__ import annotations

from bisect import bisect_left

from memprof.errors import OutOfDeviceMemoryError, UsageError
from memprof.predict.allocator.best_fit import restricted_best_fit
from memprof.predict.allocator.blocks import Arena, Block, PoolId, StreamPool
from memprof.predict.allocator.device import Device, SimulatedDevice
from memprof.predict.allocator.garbage import collect_garbage, release_oversize
from memprof.predict.allocator.private_pools import PrivatePools
from memprof.predict.allocator.segments import Levels, Segments, unused
from memprof.predict.allocator.settings import AllocatorSettings
from memprof.predict.allocator.sizes import SMALL_REQUEST, rounded_request
from memprof.predict.allocator.stream_uses import StreamUses
from memprof.units import format_bytes

_NO_LIMIT = 1 << 63


class CachingAllocator:
    """Hands out blocks of segments as PyTorch does (c10/cuda/CUDACachingAllocator.cpp).

    Args:
        settings: what PYTORCH_CUDA_ALLOC_CONF says.
        capacity_bytes: of the device; None for no limit.
        device: what stands for the driver, else a simulated one of that capacity.

    Attributes:
        levels: bytes in use and reserved, now and at most.
        live: the blocks that somebody holds, by address.
        retries: how often all that was unused was given back for the sake of a request.
        failures: how often a request failed all the same.
    """

    def __init__(
        self,
        settings: AllocatorSettings | None = None,
        capacity_bytes: int | None = None,
        device: Device | None = None,
    ) -> None:
        self.settings = settings or AllocatorSettings()
        self.levels = Levels()
        self.live: dict[int, Block] = {}
        self.retries = 0
        self.failures = 0
        driver = device or SimulatedDevice(capacity_bytes)
        self.segments = Segments(self.settings, driver, self.levels, capacity_bytes)
        split_all = self.settings.expandable_segments
        self.small, self.large = Arena(True, split_all), Arena(False, split_all)
        self.private = PrivatePools(split_all)
        self.uses = StreamUses(self.private, self._put_back)
        self._rounded: dict[int, int] = {}
        self._max_split = (not split_all and self.settings.max_split_bytes) or _NO_LIMIT
        self._collects = (
            self.settings.garbage_collection_threshold > 0 and self.segments.allowed is not None
        )
        self.any_block_may_serve = not (split_all or self.settings.max_split_bytes)

    def malloc(self, nbytes: int, stream: int = 0) -> int:
        """Allocates, and gives the address.

        Raises:
            OutOfDeviceMemoryError: where the device has no room, even after all that is unused
                has been given back.
        """
        return self.take(nbytes, stream).address

    def take(self, nbytes: int, stream: int = 0) -> Block:
        """Allocates as `malloc` does, and gives the block."""
        if self.uses.waiting:
            self.uses.complete()
        size = self._rounded.get(nbytes) or self._round(nbytes)
        pool = self._pool(size, stream)
        if self._collects:
            pool.arena.searches += 1
        place = self._best_fit(pool, size)
        if place is None:
            block = self._from_device(pool, size)
        else:
            block = self.segments.take_at(pool, place)
        rest = block.size - size
        if rest >= pool.least_rest and size < self._max_split:
            self.segments.put(block.split(size))
        self.hold(block, nbytes)
        return block

    def has_room(self, nbytes: int, stream: int = 0) -> bool:
        """Whether `malloc` would need nothing of the device."""
        size = self._round(nbytes)
        return self._best_fit(self._pool(size, stream), size) is not None

    def hold(self, block: Block, nbytes: int) -> None:
        """Notes that a block serves a request of `nbytes` from now on."""
        block.requested = nbytes
        self.live[block.address] = block
        levels = self.levels
        levels.requested += nbytes
        levels.allocated += block.size
        if levels.allocated > levels.allocated_peak:
            levels.allocated_peak = levels.allocated
        if levels.requested > levels.requested_peak:
            levels.requested_peak = levels.requested

    def free(self, address: int) -> None:
        """Frees what `malloc` gave at this address.

        A block that other streams use (`record_stream`) is free only when they have finished.

        Raises:
            UsageError: if nothing is allocated there.
        """
        block = self._held(address)
        del self.live[address]
        self.levels.allocated -= block.size
        self.levels.pending += block.size
        if block.streams:
            self.uses.wait_for(block)
        else:
            self._put_back(block)

    def empty_cache(self) -> None:
        """Gives back what nobody uses, after waiting for all streams (torch.cuda.empty_cache)."""
        self.uses.synchronize(None)
        self.uses.complete()
        for arena in self._releasing():
            self.segments.release_unused(arena)
        self.private.forget_empty()

    def unused(self) -> list[tuple[int, int]]:
        """Gives address and size of what `empty_cache` would give back, in its order."""
        return [piece for arena in self._releasing() for piece in unused(arena)]

    def _releasing(self) -> list[Arena]:
        """The arenas that give unused memory back, in order."""
        private = [arena for pool in self.private.unused() for arena in (pool.small, pool.large)]
        return [self.large, self.small, *private]

    def record_stream(self, address: int, stream: int) -> None:
        """Notes that another stream uses an allocation (torch.Tensor.record_stream).

        Raises:
            UsageError: if nothing is allocated there.
        """
        self.uses.record(self._held(address), stream)

    def synchronize(self, stream: int | None = None) -> None:
        """Notes that a stream, or every stream, has finished what it was given so far."""
        self.uses.synchronize(stream)

    def begin_pool(self, pool_id: PoolId, stream: int | None = None) -> None:
        """Sends allocations of a stream, or all, to a private pool, as a graph capture does."""
        self.private.begin(pool_id, stream)

    def end_pool(self, pool_id: PoolId) -> None:
        """Ends what `begin_pool` began."""
        self.private.end(pool_id)

    def release_pool(self, pool_id: PoolId) -> None:
        """Lets a private pool go, as a destroyed graph does."""
        self.private.release(pool_id)

    def _held(self, address: int) -> Block:
        block = self.live.get(address)
        if block is None:
            raise UsageError(f"nothing is allocated at {address:#x}")
        return block

    def _round(self, nbytes: int) -> int:
        size = self._rounded[nbytes] = rounded_request(nbytes, self.settings)
        return size

    def _pool(self, size: int, stream: int) -> StreamPool:
        if self.private.capturing:
            arena = self.private.arena_for(size, stream)
            if arena is not None:
                return arena.pool(stream)
        return (self.small if size <= SMALL_REQUEST else self.large).pool(stream)

    def _best_fit(self, pool: StreamPool, size: int) -> int | None:
        """The place of the smallest free block that holds `size` bytes, of those the lowest."""
        if not self.any_block_may_serve:
            return restricted_best_fit(pool, size, self.settings)
        place = bisect_left(pool.free, (size,))
        return place if place < len(pool.free) else None

    def _from_device(self, pool: StreamPool, size: int) -> Block:
        """Gets new memory, giving back unused memory where the device has no more."""
        get, settings = self.segments.get, self.settings
        if self._collects:
            collect_garbage(self.large, self.segments, settings)
        block = get(pool, size)
        if block is None and release_oversize(pool, size, self.segments, settings):
            block = get(pool, size)
        if block is None and not self.private.capturing:
            self.empty_cache()
            self.retries += 1
            block = get(pool, size)
        if block is None:
            raise self._out_of_memory(size)
        return block

    def _put_back(self, block: Block) -> None:
        """Makes a block free, as one with its free neighbours."""
        self.levels.requested -= block.requested
        self.levels.pending -= block.size
        self.segments.put_back(block)

    def _out_of_memory(self, size: int) -> OutOfDeviceMemoryError:
        self.failures += 1
        levels = self.levels
        return OutOfDeviceMemoryError(
            f"{format_bytes(size)} do not fit: {format_bytes(levels.reserved)} are reserved, "
            f"{format_bytes(levels.allocated)} of them in use"
        )
