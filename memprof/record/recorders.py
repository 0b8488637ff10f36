"""Chooses the recorder: the allocator observer where it loads, else the dispatch hook."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from memprof.record.dispatch_recorder import DispatchRecorder
from memprof.record.native import build
from memprof.record.native.recorder import NativeRecorder
from memprof.record.recorder import MakeRecorder

PROFILER_RUNS = "torch.profiler runs on this thread, and PyTorch has one place for it and for us"


@dataclass(frozen=True, slots=True)
class Choice:
    """A recorder, and why this one.

    Attributes:
        name: "native", "dispatch" or "fake".
        fell_back: whether "auto" had to do without the better one.
    """

    name: str
    reason: str
    make: MakeRecorder
    fell_back: bool = False


def choose(wanted: str, detail: str, announce: Callable[[str], None]) -> Choice:
    """Returns the recorder that was asked for, or the best one.

    Args:
        wanted: "auto", "native" or "dispatch"; "fake" for a predicted run.
        detail: "modules", or "ops" for the operator of every allocation as well.
        announce: is told when the observer has to be built first.

    Raises:
        UnavailableError: if the observer was asked for by name and cannot be had.
    """
    if wanted == "dispatch":
        return Choice("dispatch", "asked for", DispatchRecorder)
    if wanted == "fake":
        make_fake: MakeRecorder = partial(DispatchRecorder, measures=False)
        return Choice("fake", "a predicted run has no memory that could be observed", make_fake)
    try:
        if torch._C._autograd._profiler_enabled():
            raise build.UnavailableError(PROFILER_RUNS)
        native = build.load(announce)
    except build.UnavailableError as error:
        if wanted == "native":
            raise
        return Choice("dispatch", str(error), DispatchRecorder, fell_back=True)
    reason = "asked for" if wanted == "native" else "it builds and loads here"
    make: MakeRecorder = partial(NativeRecorder, native, detail == "ops")
    return Choice("native", reason, make)
