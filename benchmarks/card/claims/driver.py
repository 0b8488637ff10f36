"""What is taken for granted of NVML, of the context and of the card itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import torch

from memprof.record.cuda import cuda_uuids
from memprof.record.nvml.devices import all_devices, cuda_devices
from memprof.record.nvml.library import Library, NvmlError
from memprof.record.nvml.processes import running

from .claim import Bench, Claim, Seen

GIB = 1 << 30
#: Usable bytes, bytes a second and dense bfloat16 operations a second, by vendor and by logs.
CARDS = {"H100": (79.19 * GIB, 3.35e12, 989.4e12), "H200": (139 * GIB, 4.8e12, 989.4e12)}
CONTEXT = """
import torch
torch.ones(8, 8, device="cuda") @ torch.ones(8, 8, device="cuda")
torch.cuda.synchronize()
print(torch.cuda.memory_reserved(), flush=True)
input()
"""


def nvml_knows_the_device_by_its_uuid(bench: Bench) -> Seen:
    """CUDA's UUID finds the device in NVML, under the same name."""
    try:
        library = Library()
        found = cuda_devices(library, cuda_uuids() or [])
        listed = [device.uuid for device in all_devices(library)]
    except NvmlError as error:
        return {"holds": None, "reason": str(error)}
    names = [device.name for device in found.devices]
    same = names[0] == torch.cuda.get_device_name(0)
    return {"holds": same, "names": names, "devices": len(listed)}


def nvml_tells_this_process_its_memory(bench: Bench) -> Seen:
    """The process is listed with at least what the allocator has reserved."""
    try:
        library = Library()
        device = cuda_devices(library, cuda_uuids() or []).devices[0]
        processes = running(library, device.handle)
    except NvmlError as error:
        return {"holds": None, "reason": str(error)}
    own, reserved = processes.get(os.getpid()), torch.cuda.memory_reserved()
    told = {"listed": len(processes), "own_bytes": own, "reserved_bytes": reserved}
    return {"holds": own is not None and own >= reserved, **told}


def a_context_takes_some_hundred_mebibytes(bench: Bench) -> Seen:
    """Context and modules of a process take 0.3 to 0.6 GiB beside what the allocator reserves."""
    idle = _used()
    command, pipe = [sys.executable, "-c", CONTEXT], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as child:
        assert child.stdout is not None
        reserved = int(child.stdout.readline())
        context = _used() - idle - reserved
        child.communicate("\n", timeout=60)
    return {"holds": 0.3 * GIB <= context <= 0.6 * GIB, "context_bytes": context}


def _used() -> int:
    free, total = torch.cuda.mem_get_info()
    return int(total - free)


def the_card_is_what_the_table_says(bench: Bench) -> Seen:
    """Usable bytes to 2 %; a copy reaches 80 to 100 % of the bandwidth, a product of the peak."""
    name = torch.cuda.get_device_name(0)
    told = next((figures for key, figures in CARDS.items() if key in name), None)
    if told is None or "PCIe" in name:
        return {"holds": None, "reason": f"{name} is not in the table"}
    seen = (torch.cuda.get_device_properties(0).total_memory, _copied(), _multiplied())
    shares = [found / claimed for found, claimed in zip(seen, told, strict=True)]
    holds = abs(shares[0] - 1) <= 0.02 and 0.8 <= shares[1] <= 1 and 0.5 <= shares[2] <= 1
    return {"holds": holds, "card": name, "claimed": told, "seen": seen, "shares": shares}


def _copied() -> float:
    source = torch.zeros(2 * GIB, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.nbytes / _seconds(lambda: target.copy_(source))


def _multiplied() -> float:
    side = 8192
    x = torch.randn(side, side, dtype=torch.bfloat16, device="cuda")
    out = torch.empty_like(x)
    return 2 * side**3 / _seconds(lambda: torch.mm(x, x, out=out))


def _seconds(work: Callable[[], object], times: int = 10) -> float:
    work()
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(times):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - begun) / times


CLAIMS = (
    Claim(nvml_knows_the_device_by_its_uuid, "the NVML sampler"),
    Claim(nvml_tells_this_process_its_memory, "the NVML sampler"),
    Claim(a_context_takes_some_hundred_mebibytes, "the waterfall: context and modules"),
    Claim(the_card_is_what_the_table_says, "memprof estimate: hardware"),
)
