"""The memory hierarchy: bytes per second from each level of this machine, and an H100's beside.

python -m samples.lab.hierarchy
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

import memprof
from memprof.estimate import Hardware, hardware
from samples.lab.machine import caches, disk_bandwidth, read_bandwidth
from samples.lab.table import Result, Row, main

#: The article's bytes per second of an H100, and what the catalogue calls the level.
CLAIMS = {
    "L1 cache: 80 TB/s": "L1",
    "L2 cache: 12 TB/s": "L2",
    "HBM3: 3.35 TB/s": "memory",
    "CPU RAM (PCIe): 64 GB/s": "host",
    "NVMe (disk): 7 GB/s": "NVMe",
}
PLACES = {"memory": "bandwidth", "host": "host_link"}


def measure(quick: bool) -> Result:
    """Reads a buffer that fits each level, and a file."""
    memory, file = (1 << 28, 1 << 26) if quick else (1 << 29, 1 << 29)
    rows = [*here(memory), on_disk(file), *of_an_h100(hardware("h100"))]
    return Result("Memory hierarchy", rows, [NOTE])


NOTE = (
    "Working sets are half a cache, so that nothing else pushes them out. Rates depend on what "
    "else runs on the machine."
)


def here(memory: int) -> Iterator[Row]:
    """One core's caches, then memory with all cores; memprof says how large the buffer is."""
    sets = {f"{name} of a core": size // 2 for name, size in caches().items()}
    for level, nbytes in {**sets, "memory": memory}.items():
        with threads(None if level == "memory" else 1), memprof.trace() as tracing:
            rate = read_bandwidth(nbytes)
        held = max(row.bytes for row in tracing.peak().live().rows())
        assert held == nbytes
        yield Row(
            "this machine",
            f"{level}: {held:,} B read again and again",
            None,
            rate / 1e9,
            unit="GB/s",
        )


def on_disk(nbytes: int) -> Row:
    told = f"disk: a file of {nbytes:,} B, past the system's cache"
    try:
        rate = disk_bandwidth(nbytes)
    except OSError as error:
        return Row("this machine", f"{told}: {error.strerror}", None)
    return Row("this machine", told, None, rate / 1e9, unit="GB/s")


def of_an_h100(h100: Hardware) -> Iterator[Row]:
    rates = {level.name: level.bandwidth for level in h100.levels}
    for claim, name in CLAIMS.items():
        if rates.get(name):
            source = h100.sources[PLACES.get(name, f"levels.{name}.bandwidth")]
            yield Row(f"H100, {claim}", source, rates[name] / 1e9, unit="GB/s")


@contextmanager
def threads(number: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    yield
    torch.set_num_threads(before)


if __name__ == "__main__":
    main(measure, threads=0)
