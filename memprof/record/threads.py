"""Enrols Python threads: a dispatch mode belongs to one thread and is entered in each new one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from memprof.record.dispatch import DispatchHook
from memprof.record.patches import Patches
from memprof.record.scopes import Scope, Scopes


class Threads:
    """Wraps the start of threads so that each runs under a dispatch hook of its own."""

    def __init__(self, scopes: Scopes, hook_for: Callable[[Scope], DispatchHook]) -> None:
        self._scopes = scopes
        self._hook_for = hook_for
        self._hooks: list[DispatchHook] = []

    def install(self, patches: Patches) -> None:
        """Wraps `threading.Thread`; undoing `patches` restores it and closes the hooks."""
        patches.replace(threading.Thread, "_bootstrap_inner", self._wrap)
        patches.on_undo(self._close)

    def _wrap(self, bootstrap: Callable[[Any], None]) -> Callable[[Any], None]:
        def _bootstrap_inner(thread: Any) -> None:
            if thread.name == "memprof-journal":
                return bootstrap(thread)
            hook = self._hook_for(self._scopes.renew())
            self._hooks.append(hook)
            with hook:
                return bootstrap(thread)

        return _bootstrap_inner

    def _close(self) -> None:
        for hook in self._hooks:
            hook.open = False
