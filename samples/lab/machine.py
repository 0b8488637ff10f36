"""What this machine can do: bytes read a second from each level of memory, operations a second."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
UNITS = {"K": 1 << 10, "M": 1 << 20}
ROUNDS = 25


def caches() -> dict[str, int]:
    """Bytes of each data cache of a core, as Linux tells them: {"L1": 49152, ...}."""
    found = {}
    for index in sorted(CACHES.glob("index*")):
        facts = ((index / name).read_text().strip() for name in ("type", "level", "size"))
        kind, level, size = facts
        if kind != "Instruction":
            found[f"L{level}"] = int(size[:-1]) * UNITS[size[-1]]
    return found


def read_bandwidth(nbytes: int, read: int = 1 << 26) -> float:
    """Bytes a second at which a buffer of `nbytes` is summed up, again and again, `read` in all."""
    values = torch.ones(nbytes // 4)
    again = max(1, read // nbytes)
    many = values.expand(again, len(values))  # rows that are all the same memory
    return again * nbytes / fastest(lambda: many.sum(1))


def disk_bandwidth(nbytes: int) -> float:
    """Bytes a second from a file in the working directory, past the cache of the system.

    Raises:
        OSError: if its file system cannot be read past the cache.
    """
    block = mmap.mmap(-1, 8 << 20)  # aligned as direct reads must be
    with TemporaryDirectory(dir=Path.cwd()) as folder:
        path = Path(folder, "bytes")
        path.write_bytes(os.urandom(1 << 20) * (nbytes >> 20))
        with path.open("rb") as file:
            os.fsync(file.fileno())
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
        begun = time.perf_counter()
        while os.readv(descriptor, [block]):
            pass
        seconds = time.perf_counter() - begun
        os.close(descriptor)
    return nbytes / seconds


def flops(width: int = 1536, dtype: torch.dtype = torch.float32) -> float:
    """Operations a second of a large matrix product."""
    left, right = torch.randn(2, width, width, dtype=dtype)
    return 2 * width**3 / fastest(lambda: left @ right, 10)


def fastest(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Seconds of the fastest of some rounds: what else the machine did disturbs the others."""
    work()
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)
