"""The device under the allocator: it hands out memory until there is no more."""

from __future__ import annotations

from typing import Final, Protocol

#: Segments are handed out below this, in user space's part of a 47-bit address space.
TOP: Final = 0x7F00_0000_0000
GRANULARITY: Final = 2 << 20


class Device(Protocol):
    """What the allocator asks of the driver."""

    def allocate(self, nbytes: int, stream: int, small: bool) -> int | None:
        """Gives the address of a new segment (cudaMalloc), None where memory is short."""

    def release(self, address: int, nbytes: int, stream: int) -> None:
        """Takes a segment back (cudaFree)."""

    def reserve(self, nbytes: int, stream: int, small: bool) -> int:
        """Gives addresses without memory behind them (cuMemAddressReserve)."""

    def unreserve(self, address: int) -> None:
        """Takes such addresses back (cuMemAddressFree)."""

    def map(self, address: int, nbytes: int, stream: int) -> bool:
        """Puts memory behind addresses (cuMemCreate, cuMemMap); False where it is short."""

    def unmap(self, address: int, nbytes: int, stream: int) -> None:
        """Takes the memory behind addresses back."""


class SimulatedDevice:
    """A device of some capacity, whose segments come at descending addresses.

    Args:
        capacity: bytes it can give away in all; None for no limit.
        top: where the addresses begin.
        used: bytes it has given away already.
    """

    def __init__(self, capacity: int | None = None, top: int = TOP, used: int = 0) -> None:
        self.capacity = capacity
        self.used = used
        self._lowest = top

    def allocate(self, nbytes: int, stream: int, small: bool) -> int | None:
        """Gives the next lower address; None if the capacity would be exceeded."""
        del stream, small
        return self._below(nbytes) if self._take(nbytes) else None

    def release(self, address: int, nbytes: int, stream: int) -> None:
        """Makes room again."""
        del address, stream
        self.used -= nbytes

    def reserve(self, nbytes: int, stream: int, small: bool) -> int:
        """Gives addresses; they cost nothing."""
        del stream, small
        return self._below(nbytes)

    def unreserve(self, address: int) -> None:
        """Does nothing: addresses are not used again."""

    def map(self, address: int, nbytes: int, stream: int) -> bool:
        """Takes memory unless the capacity would be exceeded."""
        del address, stream
        return self._take(nbytes)

    def unmap(self, address: int, nbytes: int, stream: int) -> None:
        """Makes room again."""
        self.release(address, nbytes, stream)

    def _take(self, nbytes: int) -> bool:
        if self.capacity is not None and self.used + nbytes > self.capacity:
            return False
        self.used += nbytes
        return True

    def _below(self, nbytes: int) -> int:
        self._lowest -= -(-nbytes // GRANULARITY) * GRANULARITY
        return self._lowest
