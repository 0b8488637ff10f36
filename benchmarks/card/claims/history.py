"""What is taken for granted of the allocator's history, its snapshots and its observers."""

from __future__ import annotations

import inspect
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import torch

from memprof.record.cuda import segments

from .claim import Bench, Claim, Seen

MIB = 1 << 20
EVENTS = 300
EARLY = """
import torch
heard = []
torch._C._cuda_attach_out_of_memory_observer(lambda *numbers: heard.append(numbers))
try:
    torch.empty(1 << 43, dtype=torch.uint8, device="cuda")
except torch.OutOfMemoryError:
    print(len(heard))
"""


def a_snapshot_without_history_is_cheap(bench: Bench) -> Seen:
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


def the_history_is_endless_unless_told(bench: Bench) -> Seen:
    """By default the history keeps every event, with Python's and C++'s stacks."""
    told = inspect.signature(torch.cuda.memory._record_memory_history).parameters
    seen = {name: told[name].default for name in ("max_entries", "stacks")}
    return {"holds": seen == {"max_entries": sys.maxsize, "stacks": "all"}, **seen}


def stacks_of_python_alone_are_cheap(bench: Bench) -> Seen:
    """A snapshot with the stacks of Python takes far less than one with C++'s as well."""
    seconds = {stacks: _dumped(stacks) for stacks in ("python", "all")}
    return {"holds": seconds["python"] < seconds["all"], "seconds": seconds, "events": EVENTS}


def _dumped(stacks: str) -> float:
    torch.cuda.memory._record_memory_history(stacks=stacks, max_entries=10_000, clear_history=True)
    for _ in range(EVENTS):
        torch.empty(1000, device="cuda")
    begun = time.perf_counter()
    torch.cuda.memory._snapshot()
    seconds = time.perf_counter() - begun
    torch.cuda.memory._record_memory_history(enabled=None)
    return seconds


def the_history_is_of_the_whole_process(bench: Bench) -> Seen:
    """Begun in one thread, it has the events of every other."""
    size = 3 * MIB + 512
    torch.cuda.memory._record_memory_history(max_entries=1000, context=None)
    _in_a_thread(size)
    entries = _entries()
    return {"holds": any(entry["size"] == size for entry in entries), "events": len(entries)}


def metadata_stamps_what_is_allocated(bench: Bench) -> Seen:
    """`_set_memory_metadata` marks the allocations of its own thread that follow."""
    stamp = getattr(torch._C, "_cuda_setMemoryMetadata", None)
    if stamp is None:
        return {"holds": None, "reason": "this PyTorch has none"}
    torch.cuda.memory._record_memory_history(max_entries=1000, context=None)
    stamp("memprof")
    kept = torch.empty(1000, device="cuda")
    _in_a_thread(3 * MIB + 512)
    stamp("")
    marked = [entry["size"] for entry in _entries() if entry.get("user_metadata") == "memprof"]
    return {"holds": marked == [kept.nbytes], "marked_bytes": marked}


def _in_a_thread(size: int) -> None:
    def work() -> None:
        torch.empty(size, dtype=torch.uint8, device="cuda")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def _entries() -> list[Mapping[str, Any]]:
    """What was allocated since the history began; ends it."""
    entries = torch.cuda.memory._snapshot()["device_traces"][0]
    torch.cuda.memory._record_memory_history(enabled=None)
    return [entry for entry in entries if entry["action"] == "alloc"]


def an_observer_needs_cuda_first(bench: Bench) -> Seen:
    """An observer of failures that was attached before CUDA is initialised hears nothing."""
    done = subprocess.run([sys.executable, "-c", EARLY], capture_output=True, text=True, timeout=60)
    heard = done.stdout.strip()
    return {"holds": heard in ("", "0"), "heard": heard, "stderr": done.stderr[-300:]}


def the_observer_of_failures_sees_an_empty_cache(bench: Bench) -> Seen:
    """When it is called, cached blocks have been given back."""
    attach = getattr(torch._C, "_cuda_attach_out_of_memory_observer", None)
    if attach is None:
        return {"holds": None, "reason": "this PyTorch has none"}
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


CLAIMS = (
    Claim(a_snapshot_without_history_is_cheap, "the waterfall: fragmentation, looked at on a beat"),
    Claim(the_history_is_endless_unless_told, "PyTorch: _record_memory_history", False),
    Claim(stacks_of_python_alone_are_cheap, "PyTorch: _record_memory_history"),
    Claim(the_history_is_of_the_whole_process, "PyTorch: _record_memory_history"),
    Claim(metadata_stamps_what_is_allocated, "PyTorch: _set_memory_metadata"),
    Claim(an_observer_needs_cuda_first, "PyTorch: _cuda_attach_out_of_memory_observer"),
    Claim(the_observer_of_failures_sees_an_empty_cache, "the breakdown at an OutOfMemoryError"),
)
