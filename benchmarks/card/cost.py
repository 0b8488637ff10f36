"""What recording costs on a training step, as ratios to the untraced step of the same run."""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

import memprof

from .device import Card, Rehearsal
from .programs import PROGRAMS
from .sizes import Sizes

UNTRACED, NATIVE = "untraced", "memprof, native"
Variant = Callable[[], contextlib.AbstractContextManager[Any]]


@contextlib.contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextlib.contextmanager
def _recorded(recorder: str, detail: str) -> Iterator[None]:
    with memprof.trace(recorder=recorder, detail=detail):
        yield


@contextlib.contextmanager
def _profiled() -> Iterator[None]:
    activities = [torch.profiler.ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities, profile_memory=True):
        yield


@contextlib.contextmanager
def _memtracker() -> Iterator[Callable[[], None]]:
    from torch.distributed._tools.mem_tracker import MemTracker

    tracker = MemTracker()
    with tracker:
        yield tracker.reset_mod_stats


def _variants(card: Card | Rehearsal) -> dict[str, Variant]:
    return {
        UNTRACED: _nothing,
        NATIVE: partial(_recorded, "auto", "modules"),
        "memprof, native, ops": partial(_recorded, "auto", "ops"),
        "memprof, dispatch hook": partial(_recorded, "dispatch", "modules"),
        "_record_memory_history": lambda: card.history([]),
        "torch.profiler, memory": _profiled,
        "PyTorch's MemTracker": _memtracker,
    }


def measured(sizes: Sizes, card: Card | Rehearsal) -> dict[str, Any]:
    """Median seconds of a step under each variant, and their ratios; variants take turns."""
    step = PROGRAMS["training"](sizes, card.device)
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    failed: dict[str, str] = {}
    for _ in range(sizes.rounds):
        for name, variant in _variants(card).items():
            if name in failed:
                continue
            try:
                with variant() as between:
                    seconds[name] += _timed(step, sizes, card, between)
            except Exception as error:  # one tool's failure must not cost the others' figures
                failed[name] = f"{type(error).__name__}: {error}"
            gc.collect()
    medians = {name: statistics.median(times) for name, times in seconds.items() if times}
    return {
        "seconds": medians,
        "ratios": {name: median / medians[UNTRACED] for name, median in medians.items()},
        "steps": {name: len(times) for name, times in seconds.items()},
        "not_measured": failed,
    }


def _timed(
    step: Callable[[], None],
    sizes: Sizes,
    card: Card | Rehearsal,
    between: Callable[[], None] | None,
) -> list[float]:
    seconds = []
    for turn in range(sizes.warm_up + sizes.timed_steps):
        card.wait()
        begun = time.perf_counter()
        step()
        card.wait()
        if turn >= sizes.warm_up:
            seconds.append(time.perf_counter() - begun)
        if between is not None:
            between()
    return seconds
