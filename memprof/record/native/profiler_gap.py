"""Steps aside while the user's own profiler runs: PyTorch has one place for the two of them.

Meanwhile the dispatch hook stands in. What the program held in tensors before is followed through
the gap; what only PyTorch itself held is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.autograd import profiler
from torch.utils._python_dispatch import _get_current_dispatch_mode

from memprof.record.containers import living_tensors, storages_of
from memprof.record.dispatch import DispatchHook
from memprof.record.guard import Guard
from memprof.record.journal import Journal
from memprof.record.native.storages import NativeStorages
from memprof.record.patches import Patches


class ProfilerGap:
    """Takes the observer out of a thread before `torch.profiler` begins there, and puts it back."""

    def __init__(
        self,
        native: Any,
        storages: NativeStorages,
        journal: Journal,
        guard: Guard,
        hook: Callable[[], DispatchHook],
    ) -> None:
        self._native = native
        self._storages = storages
        self._journal = journal
        self._hook = hook
        self._entered: DispatchHook | None = None
        self._leave = guard(self._begin)
        self._return = guard(self._end)

    def install(self, patches: Patches) -> None:
        """Wraps where PyTorch's profiler begins and ends; undoing `patches` restores it."""
        patches.replace(profiler, "_enable_profiler", self._wrap_enable)
        patches.replace(profiler, "_disable_profiler", self._wrap_disable)

    def _wrap_enable(self, enable: Callable[..., Any]) -> Callable[..., Any]:
        def _enable_profiler(*args: Any, **kwargs: Any) -> Any:
            self._leave()
            return enable(*args, **kwargs)

        return _enable_profiler

    def _wrap_disable(self, disable: Callable[..., Any]) -> Callable[..., Any]:
        def _disable_profiler(*args: Any, **kwargs: Any) -> Any:
            try:
                return disable(*args, **kwargs)
            finally:
                self._return()

        return _disable_profiler

    def _begin(self) -> None:
        if not self._native.leave():
            return
        self._journal.warn(
            "profiler",
            "torch.profiler ran while recording: its thread was recorded by the dispatch hook",
        )
        for tensor in living_tensors():
            for storage in storages_of(tensor):
                self._storages.follow(storage)
        self._entered = self._hook()
        self._entered.__enter__()  # type: ignore[no-untyped-call]

    def _end(self) -> None:
        entered, self._entered = self._entered, None
        if entered is not None:
            entered.open = False
            if _get_current_dispatch_mode() is entered:  # else it stays, as a pass-through
                entered.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        if self._native.enroll():
            for tensor in living_tensors():
                for storage in storages_of(tensor):
                    self._storages.found(storage)
