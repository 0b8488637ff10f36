"""Hands on an interrupt (Ctrl-C) that reached the process inside a callback of memprof.

Python prints and drops what a weak reference's callback raises, KeyboardInterrupt included: in a
program that does little but call operators, every fifth Ctrl-C would be lost.
"""

from __future__ import annotations

import _thread
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from memprof.record.patches import Patches

if TYPE_CHECKING:
    from sys import UnraisableHookArgs


def install(patches: Patches) -> None:
    """Raises such an interrupt again a moment later, outside the callback."""
    patches.replace(sys, "unraisablehook", _handing_on)


def _handing_on(original: Callable[[UnraisableHookArgs], Any]) -> Callable[..., Any]:
    def hook(unraisable: UnraisableHookArgs) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt) and _is_own(unraisable.object):
            _thread.start_new_thread(_interrupt_soon, ())
        else:
            original(unraisable)

    return hook


def _interrupt_soon() -> None:
    time.sleep(0.005)  # at once, the interrupt would come while the hook still runs
    _thread.interrupt_main()


def _is_own(callback: object) -> bool:
    return str(getattr(callback, "__module__", "")).startswith("memprof.")
