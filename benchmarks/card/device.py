"""The card, and what stands in for it in a rehearsal on the CPU, where it tells nothing."""

from __future__ import annotations

import contextlib
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch

Statistics = Mapping[str, int]
STATISTICS = ("requested_bytes", "allocated_bytes", "active_bytes", "reserved_bytes")


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes that some work left behind in what it returned, and the most that it had alive."""

    held: int
    peak: int


class Card:
    """One CUDA device."""

    device = torch.device("cuda", 0)

    def statistics(self) -> Statistics:
        """Current and highest bytes by PyTorch's own allocator."""
        torch.cuda.synchronize()
        told = torch.cuda.memory_stats()
        levels = ((name, level) for name in STATISTICS for level in ("current", "peak"))
        return {f"{name}.{level}": told[f"{name}.all.{level}"] for name, level in levels}

    def moved(self, work: Callable[[], Any]) -> Moved:
        """Requested bytes, by PyTorch's statistics; a first run makes workspaces, which stay."""
        work()
        before = self.statistics()["requested_bytes.current"]
        torch.cuda.reset_peak_memory_stats()
        kept = work()
        after = self.statistics()
        del kept
        held, peak = (after[f"requested_bytes.{level}"] - before for level in ("current", "peak"))
        return Moved(held, peak)

    def forget(self) -> None:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()

    def wait(self) -> None:
        torch.cuda.synchronize()

    @contextlib.contextmanager
    def history(self, entries: list[Mapping[str, Any]]) -> Iterator[None]:
        """Adds to `entries` whatever the allocator did meanwhile."""
        memory = torch.cuda.memory
        memory._record_memory_history(max_entries=5_000_000, context=None)
        try:
            yield
        finally:
            entries += memory._snapshot()["device_traces"][0]
            memory._record_memory_history(enabled=None)


class Rehearsal:
    """The CPU: every program and every comparison runs, and no figure means anything."""

    device = torch.device("cpu")

    def statistics(self) -> Statistics | None:
        return None

    def moved(self, work: Callable[[], Any]) -> Moved:
        """The CPU's bytes, as PyTorch's profiler hears of them: other kernels, other figures."""
        work()
        activities = [torch.profiler.ProfilerActivity.CPU]
        with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
            kept = work()
        heard = profile.profiler.kineto_results.events()
        del kept
        levels = [*accumulate(event.nbytes() for event in heard if event.name() == "[memory]")]
        return Moved(levels[-1] if levels else 0, max(levels, default=0))

    def forget(self) -> None:
        pass

    def wait(self) -> None:
        pass

    @contextlib.contextmanager
    def history(self, entries: list[Mapping[str, Any]]) -> Iterator[None]:
        yield


def machine(dry_run: bool) -> dict[str, Any]:
    """What the figures were taken on."""
    known = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.platform(),
        "processor_threads": torch.get_num_threads(),
        "memprof_commit": _commit(),
    }
    if dry_run:
        return {**known, "card": None}
    properties = torch.cuda.get_device_properties(0)
    return {
        **known,
        "card": properties.name,
        "card_bytes": properties.total_memory,
        "capability": list(torch.cuda.get_device_capability(0)),
        "cuda": torch.version.cuda,
    }


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return None
