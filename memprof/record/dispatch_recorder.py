"""The recorder that needs nothing but Python: the dispatch hook and what it cannot see itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import torch

from memprof.record.compiled import MODULE as COMPILED_MODULE
from memprof.record.compiled import CompiledGraphs
from memprof.record.dispatch import DispatchHook, Handlings
from memprof.record.graph import Graph
from memprof.record.guard import Guard
from memprof.record.journal import Journal
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
    """

    def __init__(self, journal: Journal, scopes: Scopes, guard: Guard, stack_bytes: int) -> None:
        self._journal = journal
        self._scopes = scopes
        self._guard = guard
        self.storages = Storages(journal, stack_bytes, scopes.place)
        self.graph = Graph(self.storages, journal.strings.number)
        self._workspaces = Workspaces(journal)
        self._handlings = Handlings(self._workspaces, journal.strings.number)
        self._hooks: list[DispatchHook] = []
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

    def stop(self) -> None:
        """Leaves the hook; those of other threads become pass-throughs."""
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
        self._hooks.append(hook)
        return hook

    def _met(self) -> None:
        if not torch._C._len_torch_dispatch_stack():
            self._journal.warn(
                "thread",
                f"thread {threading.current_thread().name!r} began before the recording: "
                "what its operators allocate is not seen",
            )
