"""Follows what no operator announces.

`UntypedStorage.resize_` frees and restores memory (FSDP does so with weights), and random states
are made by the generator itself (every checkpointed call keeps one).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from memprof.record.guard import Guard
from memprof.record.journal import Journal
from memprof.record.patches import Patches
from memprof.record.scopes import Scopes
from memprof.record.storages import Storages


class Unannounced:
    """Wraps the functions concerned while a recording runs."""

    def __init__(self, storages: Storages, scopes: Scopes, journal: Journal, guard: Guard) -> None:
        self._storages = storages
        self._scopes = scopes
        self._resize = journal.strings.number("storage.resize_")
        self._random = journal.strings.number("get_rng_state")
        self._guard = guard

    def install(self, patches: Patches) -> None:
        """Wraps them; undoing `patches` restores them."""
        patches.replace(torch.UntypedStorage, "resize_", self._wrap_resize)
        for owner in (torch, torch.random):
            patches.replace(owner, "get_rng_state", self._wrap_random)

    def _wrap_random(self, get_state: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        def get_rng_state() -> torch.Tensor:
            state = get_state()
            if self._scopes.paused:
                return state
            try:
                self._storages.born(state, self._random, self._scopes.current())
            except Exception as error:
                self._guard.note(error, "get_rng_state")
            return state

        return get_rng_state

    def _wrap_resize(self, resize: Callable[..., Any]) -> Callable[..., Any]:
        def resize_(storage: torch.UntypedStorage, *args: Any, **kwargs: Any) -> Any:
            try:
                before = self._storages.recall(storage)
            except Exception as error:
                self._guard.note(error, "storage.resize_")
                return resize(storage, *args, **kwargs)
            result = resize(storage, *args, **kwargs)
            try:
                if before is not None:
                    self._storages.renew(storage, before, self._resize, self._scopes.current())
            except Exception as error:
                self._guard.note(error, "storage.resize_")
            return result

        return resize_
