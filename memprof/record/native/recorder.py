"""The recorder that PyTorch's allocators report to, with what Python must do around it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from memprof.record.dispatch import DispatchHook, Handlings
from memprof.record.graph import Graph
from memprof.record.guard import Guard
from memprof.record.journal import Journal
from memprof.record.modules import EnterInner, LeaveInner
from memprof.record.native.graph import NativeGraph
from memprof.record.native.profiler_gap import ProfilerGap
from memprof.record.native.rows import NativeRows
from memprof.record.native.storages import NativeStorages
from memprof.record.patches import Patches
from memprof.record.scopes import Scope, Scopes
from memprof.record.stacks import Stacks
from memprof.record.storages import Storages
from memprof.record.threads import Threads
from memprof.record.unannounced import Unannounced
from memprof.record.workspaces import Workspaces


class NativeRecorder:
    """Sees every allocation and free of the threads enrolled, and of autograd's own.

    Args:
        native: the observer's module.
        ops: whether each allocation is to know its operator, which costs more.
        stack_bytes: allocations of at least this many bytes keep their Python stack.
    """

    def __init__(
        self,
        native: Any,
        ops: bool,
        journal: Journal,
        scopes: Scopes,
        guard: Guard,
        stack_bytes: int,
    ) -> None:
        self._native, self._ops, self._stack_bytes = native, ops, stack_bytes
        self._journal, self._scopes, self._guard = journal, scopes, guard
        storages = NativeStorages(native, journal, stack_bytes, scopes.place)
        self.storages: Storages = storages
        self.graph: Graph = NativeGraph(native, self.storages, journal.strings.number)
        self._rows = NativeRows(native, journal, Stacks(journal.strings), guard)
        self._gap = ProfilerGap(native, storages, journal, guard, self._stand_in)
        self.inner_calls: tuple[EnterInner, LeaveInner] = (native.enter_inner, native.leave_inner)
        scopes.moved = native.place
        scopes.met = self._met

    def install(self, patches: Patches) -> None:
        """Follows new threads, storages that change size, and the user's own profiler."""
        Threads(self._scopes, self._observed).install(patches)
        Unannounced(self.storages, self._scopes, self._journal, self._guard).install(patches)
        self._gap.install(patches)

    def watched(self, patches: Patches) -> Mapping[str, Callable[[ModuleType], None]]:
        """Nothing: compiled graphs allocate as everybody does."""
        return {}

    def enroll(self) -> None:
        """Lets the calling thread report, so that what existed before can be reported too."""
        self._native.start(self._stack_bytes, self._ops)
        self._native.enroll()
        self._journal.sources.append(self._rows)

    def start(self, scope: Scope) -> None:
        """Nothing more: the thread reports since `enroll`."""

    def pause(self) -> bool:
        """Notes births and deaths alone, so that what happens meanwhile is not lost."""
        self._native.pause(True)
        self._journal.warn(
            "self_check",
            "the recording was paused for the self-check: what was allocated meanwhile has its "
            "size and its times, and no module, operator or stack",
        )
        return True

    def resume(self) -> bool:
        """Notes everything again."""
        self._native.pause(False)
        return True

    def count(self, native: Any) -> bool:
        """Nothing more: the observer can count."""
        return bool(native.enrolled())

    def uncount(self, native: Any) -> None:
        """Nothing: the observer stays."""

    def stop(self) -> None:
        """Leaves this thread; what other threads report is no longer heard."""
        self._native.leave()
        self._native.stop()
        self._scopes.stay()

    def counts(self) -> Mapping[str, Any]:
        """What was alive and what went wrong."""
        counts: dict[str, int] = self._native.counts()
        self._warn_of(counts)
        return {"observer": counts}

    def live_bytes(self) -> int:
        """The bytes that the allocator has handed out and not got back."""
        return int(self._native.counts()["live_bytes"])

    def forget(self) -> None:
        """Ends the observation in a forked child."""
        self._scopes.stay()
        self._native.forget()

    def _warn_of(self, counts: Mapping[str, int]) -> None:
        if counts["lost"]:
            self._journal.warn(
                "lost", f"{counts['lost']} events were lost: the journal could not keep up"
            )
        if counts["missed_frees"]:
            self._journal.warn(
                "missed_frees",
                f"{counts['missed_frees']} frees happened on threads that are not observed and "
                "were noted when the allocator handed the same address out again",
            )

    def _stand_in(self) -> DispatchHook:
        workspaces = Workspaces(self._journal)
        handlings = Handlings(workspaces.consider, self._journal.strings.number)
        scope = self._scopes.current()
        return DispatchHook(self.storages, scope, workspaces, self._guard, handlings)

    @contextmanager
    def _observed(self, scope: Scope) -> Iterator[None]:
        self._native.enroll()
        try:
            yield
        finally:
            self._native.leave()

    def _met(self) -> None:
        self._native.enroll()
        self._journal.warn(
            "thread",
            f"thread {threading.current_thread().name!r} began before the recording: it is "
            "observed from its first call of a module on",
        )
