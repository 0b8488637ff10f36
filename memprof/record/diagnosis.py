"""What recording finds on this machine: torch, its devices, a compiler, the allocator observer."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator

import torch

from memprof.health import BROKEN, MISSING, OK, Check
from memprof.record.native import build
from memprof.units import format_bytes

_ADVICE = "mend that and run memprof doctor again; until then the dispatch hook records"


def diagnose(announce: Callable[[str], None]) -> Iterator[Check]:
    """Yields what can be said of torch and of the allocator observer, which is built for it.

    Args:
        announce: is told before what takes long.
    """
    yield Check("torch", OK, torch.__version__)
    yield _devices()
    yield _compiler()
    yield _observer(announce)


def _devices() -> Check:
    if not torch.cuda.is_available():
        built = torch.version.cuda or torch.version.hip
        why = f"torch is built for {built}, but no device answers" if built else "torch has none"
        return Check("CUDA", MISSING, f"{why}: host memory is recorded")
    cards = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    told = ", ".join(f"{card.name} ({format_bytes(card.total_memory)})" for card in cards)
    return Check("CUDA", OK, told)


def _compiler() -> Check:
    try:
        found = build.compiler()
        done = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=60)
    except (build.UnavailableError, OSError, subprocess.TimeoutExpired) as error:
        return Check("compiler", MISSING, str(error), "install one, such as: apt-get install g++")
    lines = done.stdout.strip().splitlines()
    return Check("compiler", OK, f"{found}: {lines[0]}" if lines else found)


def _observer(announce: Callable[[str], None]) -> Check:
    """Builds the observer anew; one that was built before serves where that fails."""
    library = build.cached_path()
    begun = time.monotonic()
    try:
        build.build(announce, again=True)
        how = f"built in {time.monotonic() - begun:.0f} s"
    except build.UnavailableError as error:
        if not library.exists():
            return Check("observer", BROKEN, str(error), _ADVICE)
        how = f"built before, and not again ({error})"
    try:
        build.load()
    except build.UnavailableError as error:
        return Check("observer", BROKEN, str(error), _ADVICE)
    return Check("observer", OK, f"{how}: {library}, {format_bytes(library.stat().st_size)}")
