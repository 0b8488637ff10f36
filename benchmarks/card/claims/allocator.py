"""What memprof takes for granted of CUDA's caching allocator."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import torch

from .claim import Bench, Claim, Seen, compared

MIB = 1 << 20
EXPANDABLE = """
import torch
small = torch.empty(1000, dtype=torch.uint8, device="cuda")
reserved, allocated = torch.cuda.memory_reserved(), torch.cuda.memory_allocated()
large = torch.empty((20 << 20) - (1 << 19), dtype=torch.uint8, device="cuda")
print(reserved, torch.cuda.memory_reserved() - reserved, torch.cuda.memory_allocated() - allocated)
"""


def statistics_are_there(bench: Bench) -> Seen:
    """`_cuda_memoryStats` has the five levels that are sampled, cheaper than memory_stats."""
    told = torch._C._cuda_memoryStats(0)
    names = ("requested_bytes", "allocated_bytes", "active_bytes", "reserved_bytes")
    missing = [name for name in (*names, "inactive_split_bytes") if name not in told]
    looks = {"raw": lambda: torch._C._cuda_memoryStats(0), "flat": torch.cuda.memory_stats}
    micros = {name: _micros(look) for name, look in looks.items()}
    pools = "reserved_bytes_by_private_pools" in told
    holds = not missing and micros["raw"] < micros["flat"]
    return {"holds": holds, "missing": missing, "micros": micros, "private_pools": pools}


def _micros(look: Callable[[], object], times: int = 100) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        look()
    return (time.perf_counter() - begun) * 1e6 / times


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


def expandable_segments_grow_by_pages(bench: Bench) -> Seen:
    """Expandable segments map pages of 2 and 20 MiB, and split what is left down to 512 bytes."""
    setting = "expandable_segments:True"
    environ = {**os.environ, "PYTORCH_CUDA_ALLOC_CONF": setting, "PYTORCH_ALLOC_CONF": setting}
    command = [sys.executable, "-c", EXPANDABLE]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    told = [int(word) for word in done.stdout.split()]
    names = ("small reserved", "large reserved", "large allocated")
    seen = dict(zip(names, told, strict=True))
    expected = (2 * MIB, 20 * MIB, 20 * MIB - MIB // 2)
    return compared(dict(zip(names, expected, strict=True)), seen, within=0.001)


_LEVELS = "the waterfall: requested, allocated, reserved"
CLAIMS = (
    Claim(statistics_are_there, _LEVELS),
    Claim(requests_are_rounded_to_512_bytes, _LEVELS),
    Claim(segments_have_three_sizes, _LEVELS),
    Claim(large_blocks_keep_up_to_a_mebibyte, _LEVELS),
    Claim(expandable_segments_grow_by_pages, "PyTorch: expandable_segments"),
)
