"""Private pools: memory of graph captures and of `torch.cuda.MemPool`, apart from all other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from memprof.errors import UsageError
from memprof.predict.allocator.blocks import Arena, PoolId
from memprof.predict.allocator.sizes import SMALL_REQUEST


@dataclass(slots=True)
class PrivatePool:
    """One private pool.

    Attributes:
        small, large: its arenas.
        users: graphs that hold it; with none its unused segments may go back to the device.
    """

    small: Arena
    large: Arena
    users: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether the device has everything back."""
        return self.small.reserved == 0 and self.large.reserved == 0


class PrivatePools:
    """All private pools, and which of them allocations go to at this moment.

    Attributes:
        pools: those that hold memory or may get some.
        capturing: pools that take allocations now, each with the stream whose allocations they
            are, None for those of all streams.
    """

    def __init__(self, split_all: bool) -> None:
        self.pools: dict[PoolId, PrivatePool] = {}
        self.capturing: list[tuple[PoolId, int | None]] = []
        self._split_all: Final = split_all

    def begin(self, pool_id: PoolId, stream: int | None) -> None:
        """Sends allocations to a pool from now on.

        Raises:
            UsageError: if the pool takes allocations already.
        """
        if any(underway == pool_id for underway, _ in self.capturing):
            raise UsageError(f"private pool {pool_id} takes allocations already")
        self.pool(pool_id).users += 1
        self.capturing.append((pool_id, stream))

    def end(self, pool_id: PoolId) -> None:
        """Sends allocations to where they went before.

        Raises:
            UsageError: if the pool takes no allocations.
        """
        for place, (underway, _) in enumerate(self.capturing):
            if underway == pool_id:
                del self.capturing[place]
                return
        raise UsageError(f"private pool {pool_id} takes no allocations")

    def release(self, pool_id: PoolId) -> None:
        """Takes one user away; without users the pool's memory may go back to the device.

        Raises:
            UsageError: if the pool has no user.
        """
        pool = self.pools.get(pool_id)
        if pool is None or pool.users == 0:
            raise UsageError(f"private pool {pool_id} has no user")
        pool.users -= 1

    def only(self, pool_id: PoolId | None) -> None:
        """Sends all allocations to one pool, or with None to none, until told otherwise."""
        self.capturing = [] if pool_id is None else [(pool_id, None)]
        if pool_id is not None:
            self.held(pool_id)

    def held(self, pool_id: PoolId) -> PrivatePool:
        """The pool of this name, which somebody uses whom nobody saw begin."""
        pool = self.pool(pool_id)
        pool.users = max(pool.users, 1)
        return pool

    def pool(self, pool_id: PoolId) -> PrivatePool:
        """The pool of this name, made when it is first asked for."""
        if pool_id not in self.pools:
            small, large = (Arena(small, self._split_all, pool_id) for small in (True, False))
            self.pools[pool_id] = PrivatePool(small, large)
        return self.pools[pool_id]

    def arena_for(self, size: int, stream: int) -> Arena | None:
        """The arena that an allocation goes to, of the pool begun last; None for a default one."""
        for pool_id, captured in reversed(self.capturing):
            if captured is None or captured == stream:
                pool = self.pools[pool_id]
                return pool.small if size <= SMALL_REQUEST else pool.large
        return None

    def unused(self) -> list[PrivatePool]:
        """Those without users."""
        return [pool for pool in self.pools.values() if pool.users == 0]

    def forget_empty(self) -> None:
        """Drops the pools that have neither users nor memory."""
        for pool_id, pool in list(self.pools.items()):
            if pool.users == 0 and pool.is_empty:
                del self.pools[pool_id]
