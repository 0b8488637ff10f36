"""Enrols Python threads: what observes memory belongs to one thread and is entered in each."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from memprof.record.journal import OWN_THREADS
from memprof.record.patches import Patches
from memprof.record.scopes import Scope, Scopes


class Threads:
    """Wraps the start of threads so that each is observed.

    Args:
        observed: makes what a new thread runs inside, from the thread's scope.
    """

    def __init__(
        self, scopes: Scopes, observed: Callable[[Scope], AbstractContextManager[object]]
    ) -> None:
        self._scopes = scopes
        self._observed = observed

    def install(self, patches: Patches) -> None:
        """Wraps `threading.Thread`; undoing `patches` restores it."""
        patches.replace(threading.Thread, "_bootstrap_inner", self._wrap)

    def _wrap(self, bootstrap: Callable[[Any], None]) -> Callable[[Any], None]:
        def _bootstrap_inner(thread: Any) -> None:
            if thread.name.startswith(OWN_THREADS):
                return bootstrap(thread)
            with self._observed(self._scopes.renew()):
                return bootstrap(thread)

        return _bootstrap_inner
