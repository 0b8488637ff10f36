"""Steps aside while the user's own profiler runs: PyTorch has one place for the two of them.

What the program holds in tensors is followed through the gap; what came and went inside it, and
what only PyTorch itself held, is not.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import profiler

from memprof.record.containers import storages_of
from memprof.record.guard import Guard
from memprof.record.journal import Journal
from memprof.record.labels.existing import Existing
from memprof.record.native.storages import NativeStorages
from memprof.record.patches import Patches


class _Watched(weakref.ref[torch.UntypedStorage]):
    """A storage whose end, if it comes now, nobody reports."""

    __slots__ = ("address",)

    address: int


class ProfilerGap:
    """Takes the observer out of a thread before `torch.profiler` begins there, and puts it back."""

    def __init__(
        self, native: Any, storages: NativeStorages, journal: Journal, guard: Guard
    ) -> None:
        self._native = native
        self._storages = storages
        self._journal = journal
        self._watched: list[_Watched] = []
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
            "torch.profiler ran inside the recording: memory that came and went on its thread "
            "meanwhile is missing",
        )
        for tensor in Existing().tensors:
            for storage in storages_of(tensor):
                watched = _Watched(storage, self._ended)
                watched.address = storage.data_ptr()
                self._watched.append(watched)

    def _ended(self, watched: weakref.ref[torch.UntypedStorage]) -> None:
        assert isinstance(watched, _Watched)
        self._native.died(watched.address)

    def _end(self) -> None:
        self._watched.clear()
        if self._native.enroll():
            for tensor in Existing().tensors:
                for storage in storages_of(tensor):
                    self._storages.found(storage)
