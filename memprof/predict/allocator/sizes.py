"""How many bytes a request becomes, and how large a segment it asks the device for.

Constants and rules are those of PyTorch's c10/core/AllocatorConfig.h and
c10/cuda/CUDACachingAllocator.cpp.
"""

from __future__ import annotations

from typing import Final

from memprof.predict.allocator.settings import INTERVALS, MIB, AllocatorSettings

LEAST_BLOCK: Final = 512
SMALL_REQUEST: Final = 1 * MIB
SMALL_SEGMENT: Final = 2 * MIB
OWN_SEGMENT_REQUEST: Final = 10 * MIB
LARGE_ROUNDING: Final = 2 * MIB


def round_up(nbytes: int, step: int) -> int:
    """Gives the least multiple of `step` that holds `nbytes`."""
    return -(-nbytes // step) * step


def rounded_request(nbytes: int, settings: AllocatorSettings) -> int:
    """Gives the bytes of the block that a request of `nbytes` needs."""
    if nbytes < LEAST_BLOCK:
        return LEAST_BLOCK
    interval = nbytes.bit_length() - MIB.bit_length()
    divisions = settings.roundup_power2_divisions[min(max(interval, 0), INTERVALS - 1)]
    if divisions > 1 and nbytes > LEAST_BLOCK * divisions:
        return _up_to_a_division(nbytes, divisions)
    return round_up(nbytes, LEAST_BLOCK)


def _up_to_a_division(nbytes: int, divisions: int) -> int:
    """Rounds up to a power of two, or to one of the steps between two of them."""
    power = 1 << (nbytes.bit_length() - 1)
    return round_up(nbytes, power // divisions)


def segment_request(size: int, settings: AllocatorSettings) -> int:
    """Gives the bytes to ask the device for, for a block of `size` that no free block holds."""
    if size <= SMALL_REQUEST:
        return SMALL_SEGMENT
    if size < OWN_SEGMENT_REQUEST:
        return settings.large_segment_bytes
    return round_up(size, LARGE_ROUNDING)
