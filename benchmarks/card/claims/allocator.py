"""What memprof takes for granted of CUDA's caching allocator."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from .claim import Bench, Claim, Seen, compared

MIB = 1 << 20


def statistics_are_there(bench: Bench) -> Seen:
    """`_cuda_memoryStats` has the five levels that are sampled."""
    told = torch._C._cuda_memoryStats(0)
    names = ("requested_bytes", "allocated_bytes", "active_bytes", "reserved_bytes")
    missing = [name for name in (*names, "inactive_split_bytes") if name not in told]
    begun = time.perf_counter()
    for _ in range(100):
        torch._C._cuda_memoryStats(0)
    micros = (time.perf_counter() - begun) * 1e4
    pools = "reserved_bytes_by_private_pools" in told
    return {"holds": not missing, "missing": missing, "micros": micros, "private_pools": pools}


def requests_are_rounded_to_512_bytes(bench: Bench) -> Seen:
    """A small request is rounded up to a multiple of 512 bytes."""
    sizes, grown = (1, 511, 512, 513, 100_000), []
    for size in sizes:
        before = torch.cuda.memory_allocated()
        kept = torch.empty(size, dtype=torch.uint8, device="cuda")
        grown.append(torch.cuda.memory_allocated() - before)
        del kept
    expected = [-(-size // 512) * 512 for size in sizes]
    return {"holds": grown == expected, "expected": expected, "seen": grown}


def segments_have_three_sizes(bench: Bench) -> Seen:
    """Segments are 2 MiB up to 1 MiB, 20 MiB below 10 MiB, and multiples of 2 MiB from there on."""
    expected = {MIB: 2 * MIB, MIB + 1: 20 * MIB, 9 * MIB: 20 * MIB, 11 * MIB: 12 * MIB}
    return compared(expected, {size: _grown(size, torch.cuda.memory_reserved) for size in expected})


def large_blocks_keep_up_to_a_mebibyte(bench: Bench) -> Seen:
    """A large block is split only if more than 1 MiB is left, so allocated exceeds requested."""
    half = MIB // 2
    expected = {20 * MIB - half: 20 * MIB, 20 * MIB - 3 * half: 20 * MIB - 3 * half}
    return compared(
        expected, {size: _grown(size, torch.cuda.memory_allocated) for size in expected}
    )


def _grown(size: int, level: Callable[[], int]) -> int:
    """How a level grows by a tensor in a pool of its own, where nothing lies free."""
    pool = torch.cuda.MemPool()
    before = level()
    with torch.cuda.use_mem_pool(pool):
        kept = torch.empty(size, dtype=torch.uint8, device="cuda")
    grown = level() - before
    del kept
    return grown


_LEVELS = "the waterfall: requested, allocated, reserved"
CLAIMS = (
    Claim(statistics_are_there, _LEVELS),
    Claim(requests_are_rounded_to_512_bytes, _LEVELS),
    Claim(segments_have_three_sizes, _LEVELS),
    Claim(large_blocks_keep_up_to_a_mebibyte, _LEVELS),
)
