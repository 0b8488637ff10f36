"""Follows `UntypedStorage.resize_`, which no operator announces (FSDP frees weights with it)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from memprof.record.guard import Guard
from memprof.record.journal import Journal
from memprof.record.patches import Patches
from memprof.record.scopes import Scopes
from memprof.record.storages import Storages


class StorageResizes:
    """Wraps the method of storages while a recording runs."""

    def __init__(self, storages: Storages, scopes: Scopes, journal: Journal, guard: Guard) -> None:
        self._storages = storages
        self._scopes = scopes
        self._op = journal.strings.number("storage.resize_")
        self._guard = guard

    def install(self, patches: Patches) -> None:
        """Wraps the method; undoing `patches` restores it."""
        patches.replace(torch.UntypedStorage, "resize_", self._wrap)

    def _wrap(self, resize: Callable[..., Any]) -> Callable[..., Any]:
        def resize_(storage: torch.UntypedStorage, *args: Any, **kwargs: Any) -> Any:
            result = resize(storage, *args, **kwargs)
            try:
                if storage._cdata in self._storages.live:
                    self._storages.resized(storage, self._op, self._scopes.current())
            except Exception as error:
                self._guard.note(error, "storage.resize_")
            return result

        return resize_
