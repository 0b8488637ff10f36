"""What memprof takes for granted of CUDA's allocator, put to the test one by one.

Each claim answers with `holds` (None where it cannot be told here) and with what was seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from memprof.record.cuda import cuda_uuids, segments
from memprof.record.nvml.devices import all_devices, cuda_devices
from memprof.record.nvml.library import Library, NvmlError
from memprof.record.nvml.processes import running
from memprof.record.segments import free_blocks

Seen = dict[str, Any]
MIB = 1 << 20


def statistics_are_there() -> Seen:
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


def requests_are_rounded_to_512_bytes() -> Seen:
    """A small request is rounded up to a multiple of 512 bytes."""
    sizes, grown = (1, 511, 512, 513, 100_000), []
    for size in sizes:
        before = torch.cuda.memory_allocated()
        kept = torch.empty(size, dtype=torch.uint8, device="cuda")
        grown.append(torch.cuda.memory_allocated() - before)
        del kept
    expected = [-(-size // 512) * 512 for size in sizes]
    return {"holds": grown == expected, "seen": grown}


def a_snapshot_without_history_is_cheap() -> Seen:
    """Looking at all blocks takes far less than with the history of all events."""
    kept = [torch.empty(1000, device="cuda") for _ in range(5000)]
    seconds = {}
    torch.cuda.memory._record_memory_history(max_entries=1_000_000, context=None)
    for _ in range(20_000):
        torch.empty(1000, device="cuda")
    for name, look in (("without", segments), ("with", torch.cuda.memory._snapshot)):
        begun = time.perf_counter()
        look()
        seconds[name] = time.perf_counter() - begun
    torch.cuda.memory._record_memory_history(enabled=None)
    blocks = sum(len(segment["blocks"]) for segment in segments())
    holds = seconds["without"] < seconds["with"] and blocks >= len(kept)
    return {"holds": holds, "seconds": seconds, "blocks": blocks}


def the_workspace_of_cublas_is_the_allocators() -> Seen:
    """The first product allocates a workspace through the allocator and keeps it."""
    x = torch.randn(256, 256, device="cuda", dtype=torch.bfloat16)
    torch._C._cuda_clearCublasWorkspaces()
    before = torch.cuda.memory_stats()["requested_bytes.all.current"]
    y = x @ x
    grown = torch.cuda.memory_stats()["requested_bytes.all.current"] - before - y.nbytes
    known = {32 * MIB: "sm_90", 8_519_680: "elsewhere"}
    return {"holds": grown in known, "workspace_bytes": grown}


def the_pool_of_a_graph_is_private() -> Seen:
    """What is captured lies in a private pool, and replaying allocates nothing."""
    x = torch.zeros(1 << 20, device="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = (x + 1) * 2
    held = segments()
    private = sum(s["total_size"] for s in held if tuple(s["segment_pool_id"]) != (0, 0))
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    graph.replay()
    made = torch.cuda.memory_stats()["allocation.all.allocated"] - before
    free = free_blocks(held)[0].graph_pools
    holds = private >= y.nbytes and made == 0 and free > 0
    return {"holds": holds, "private_bytes": private, "free_bytes": free, "replay_allocates": made}


def a_recorded_stream_delays_the_free() -> Seen:
    """Freed with work of another stream under way, memory is active and not allocated."""
    x = torch.zeros(64 * MIB, dtype=torch.uint8, device="cuda")
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        torch.cuda._sleep(200_000_000)
        x.record_stream(side)
    del x
    told = torch.cuda.memory_stats()
    gap = told["active_bytes.all.current"] - told["allocated_bytes.all.current"]
    torch.cuda.synchronize()
    return {"holds": gap >= 64 * MIB, "pending_bytes": gap}


def the_observer_of_failures_sees_an_empty_cache() -> Seen:
    """When it is called, cached blocks have been given back."""
    attach = getattr(torch._C, "_cuda_attach_out_of_memory_observer", None)
    if attach is None:
        return {"holds": None, "seen": "there is none"}
    seen: list[tuple[int, ...]] = []
    attach(lambda *numbers: seen.append((*numbers, torch.cuda.memory_reserved())))
    cached = torch.empty(256 * MIB, dtype=torch.uint8, device="cuda")
    del cached
    reserved = torch.cuda.memory_reserved()
    try:
        torch.empty(1 << 43, dtype=torch.uint8, device="cuda")
    except torch.OutOfMemoryError as error:
        message = str(error)
    return {
        "holds": bool(seen) and seen[0][-1] < reserved,
        "called_with": seen,
        "reserved_before": reserved,
        "message": message,
    }


def metadata_stamps_what_is_allocated() -> Seen:
    """`_set_memory_metadata` marks the allocations that follow."""
    stamp = getattr(torch._C, "_cuda_setMemoryMetadata", None)
    if stamp is None:
        return {"holds": None, "seen": "there is none"}
    torch.cuda.memory._record_memory_history(max_entries=1000, context=None)
    stamp("memprof")
    kept = torch.empty(1000, device="cuda")
    stamp("")
    entries = torch.cuda.memory._snapshot()["device_traces"][0]
    torch.cuda.memory._record_memory_history(enabled=None)
    marked = [entry for entry in entries if entry.get("user_metadata") == "memprof"]
    return {"holds": bool(marked) and kept.numel() == 1000, "marked": len(marked)}


def nvml_knows_the_device_by_its_uuid() -> Seen:
    """CUDA's UUID finds the device in NVML, under the same name."""
    try:
        library = Library()
        found = cuda_devices(library, cuda_uuids() or [])
        listed = [device.uuid for device in all_devices(library)]
    except NvmlError as error:
        return {"holds": None, "seen": str(error)}
    names = [device.name for device in found.devices]
    same = names[0] == torch.cuda.get_device_name(0)
    return {"holds": same, "names": names, "devices": len(listed)}


def nvml_tells_this_process_its_memory() -> Seen:
    """The process is listed with at least what the allocator has reserved."""
    import os

    try:
        library = Library()
        device = cuda_devices(library, cuda_uuids() or []).devices[0]
        processes = running(library, device.handle)
    except NvmlError as error:
        return {"holds": None, "seen": str(error)}
    own, reserved = processes.get(os.getpid()), torch.cuda.memory_reserved()
    context = None if own is None else own - reserved
    told = {"listed": len(processes), "own_bytes": own, "context_bytes": context}
    return {"holds": own is not None and own >= reserved, **told}


CLAIMS: tuple[Callable[[], Seen], ...] = (
    statistics_are_there,
    requests_are_rounded_to_512_bytes,
    a_snapshot_without_history_is_cheap,
    the_workspace_of_cublas_is_the_allocators,
    the_pool_of_a_graph_is_private,
    a_recorded_stream_delays_the_free,
    metadata_stamps_what_is_allocated,
    nvml_knows_the_device_by_its_uuid,
    nvml_tells_this_process_its_memory,
    the_observer_of_failures_sees_an_empty_cache,
)


def put_to_the_test(on_card: bool) -> dict[str, Seen]:
    """Every claim's answer, one that failed with its error; on the CPU only their list."""
    answers: dict[str, Seen] = {}
    if on_card:
        torch.cuda.init()
    for claim in CLAIMS:
        try:
            answers[claim.__name__] = claim() if on_card else {"holds": None}
        except Exception as error:  # the next claim is another question
            answers[claim.__name__] = {"holds": False, "error": f"{type(error).__name__}: {error}"}
    return {name: {"claim": doc(name), **answer} for name, answer in answers.items()}


def doc(name: str) -> str:
    """A claim in words."""
    text = next(claim.__doc__ for claim in CLAIMS if claim.__name__ == name)
    return (text or "").strip().splitlines()[0]
