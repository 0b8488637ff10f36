"""The recorder that needs nothing but Python: the dispatch hook and what it cannot see itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode

from memprof.record.compiled import MODULE as COMPILED_MODULE
from memprof.record.compiled import CompiledGraphs
from memprof.record.dispatch import DispatchHook, Handlings
from memprof.record.graph import Graph
from memprof.record.guard import Guard
from memprof.record.journal import Journal
from memprof.record.modules import (
    EnterInner,
    LeaveInner,
    enter_by_python,
    leave_by_python,
)
from memprof.record.patches import Patches
from memprof.record.scopes import Scope, Scopes
from memprof.record.storages import Storages
from memprof.record.threads import Threads
from memprof.record.unannounced import Unannounced
from memprof.record.workspaces import Workspaces


class DispatchRecorder:
    """Sees what operators return, on the threads that it is entered in.

    Args:
        stack_bytes: allocations of at least this many bytes keep their Python stack.
        measures: whether operators have workspaces that can be measured; fake ones have none.
    """

    def __init__(
        self,
        journal: Journal,
        scopes: Scopes,
        guard: Guard,
        stack_bytes: int,
        *,
        measures: bool = True,
    ) -> None:
        self._journal = journal
        self._scopes = scopes
        self._guard = guard
        self.storages = Storages(journal, stack_bytes, scopes.place)
        self.graph = Graph(self.storages, journal.strings.number)
        self.inner_calls: tuple[EnterInner, LeaveInner] = (enter_by_python, leave_by_python)
        self._workspaces = Workspaces(journal)
        consider = self._workspaces.consider if measures else None
        self._handlings = Handlings(consider, journal.strings.number)
        self._hooks: list[DispatchHook] = []
        self._depth = -1  # of the stack of modes without our own, while paused
        scopes.met = self._met

    def install(self, patches: Patches) -> None:
        """Follows new threads and what no operator announces."""
        Threads(self._scopes, self._hook_for).install(patches)
        Unannounced(self.storages, self._scopes, self._journal, self._guard).install(patches)

    def watched(self, patches: Patches) -> Mapping[str, Callable[[ModuleType], None]]:
        """Inductor's compiled graphs."""
        compiled = CompiledGraphs(self.storages, self._scopes, self._journal, self._guard, patches)
        return {COMPILED_MODULE: self._guard(compiled.install)}

    def enroll(self) -> None:
        """Nothing: what existed before is met by its storage."""

    def start(self, scope: Scope) -> None:
        """Enters the hook on the calling thread."""
        self._hook_for(scope).__enter__()  # type: ignore[no-untyped-call]

    def pause(self) -> bool:
        """Leaves the hook on this thread; False where the program entered another mode in it."""
        if _get_current_dispatch_mode() is not self._hooks[0]:
            return False
        self._hooks[0].__exit__(None, None, None)  # type: ignore[no-untyped-call]
        self._depth = torch._C._len_torch_dispatch_stack()
        for hook in self._hooks:
            hook.open = False
        self._journal.warn(
            "self_check",
            "the recording was paused for the self-check: what came and went meanwhile is missing, "
            "and what stayed was found afterwards",
        )
        return True

    def resume(self) -> bool:
        """Enters the hook again; False while the program is inside a mode of its own."""
        if torch._C._len_torch_dispatch_stack() != self._depth:
            return False
        self._depth = -1
        for hook in self._hooks:
            hook.open = True
        self._hooks[0].__enter__()  # type: ignore[no-untyped-call]
        return True

    def count(self, native: Any) -> bool:
        """Puts a counter where the observer would be, which PyTorch tells the sizes of blocks."""
        if not native.enroll_counter():
            return False
        for ref in list(self.storages.live.values()):
            if ref() is not None:
                native.existed(ref.key, True)
        return True

    def uncount(self, native: Any) -> None:
        """Takes the counter out again."""
        native.leave()

    def stop(self) -> None:
        """Leaves the hook; those of other threads become pass-throughs."""
        if self._depth < 0:
            self._hooks[0].__exit__(None, None, None)  # type: ignore[no-untyped-call]
        self.forget()

    def counts(self) -> Mapping[str, Any]:
        """Nothing of its own."""
        return {}

    def live_bytes(self) -> int:
        """None: it follows every storage itself."""
        return 0

    def forget(self) -> None:
        """Turns every hook into a pass-through."""
        for hook in self._hooks:
            hook.open = False

    def _hook_for(self, scope: Scope) -> DispatchHook:
        hook = DispatchHook(self.storages, scope, self._workspaces, self._guard, self._handlings)
        hook.open = self._depth < 0
        self._hooks.append(hook)
        return hook

    def _met(self) -> None:
        if not torch._C._len_torch_dispatch_stack():
            self._journal.warn(
                "thread",
                f"thread {threading.current_thread().name!r} began before the recording: "
                "what its operators allocate is not seen",
            )
