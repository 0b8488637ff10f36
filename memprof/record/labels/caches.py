"""Labels what generation keeps between calls: keys and values, recurrent states.

Every cache of transformers is updated through four methods of one base class; after each call
the tensors of the layer concerned are looked up by structure, not by the layer's class.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Final

import torch

from memprof.record.containers import tensors_in
from memprof.record.facts import Facts
from memprof.record.guard import Guard
from memprof.record.modules import Paths
from memprof.record.patches import Patches
from memprof.record.scopes import Scope, Scopes
from memprof.record.storages import LABEL, Storages

MODULE: Final = "transformers.cache_utils"
KV_CACHE = LABEL["kv_cache"]
RECURRENT = LABEL["recurrent_state"]

#: Names under which models take and return caches that are not transformers' `Cache`.
CACHE_NAMES: Final = (
    "past_key_values",
    "past_key_value",
    "cache_params",
    "past_buckets_states",
    "state",
    "layer_past",
    "mems",
    "past",
    "kv_cache",
    "kv_caches",
    "caches",
    "cache",
)
_RECURRENT: Final = re.compile(r"conv|recurrent|ssm|rnn|^state\b")
_UPDATES: Final = ("update", "update_conv_state", "update_recurrent_state", "update_indexer")
_REARRANGES: Final = ("reorder_cache", "crop", "batch_repeat_interleave", "batch_select_indices")


class Caches:
    """Wraps the base class of transformers' caches while a recording runs."""

    def __init__(
        self,
        storages: Storages,
        scopes: Scopes,
        paths: Paths,
        facts: Facts,
        guard: Guard,
        patches: Patches,
    ) -> None:
        self._storages = storages
        self._scopes = scopes
        self._facts = facts
        self._guard = guard
        self._patches = patches
        self._number = facts.number
        self._paths = paths
        self._names: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()

    def install(self, module: ModuleType) -> None:
        """Wraps the class `Cache` of transformers' module `cache_utils`."""
        for name in _UPDATES:
            self._patches.replace(module.Cache, name, self._wrap_update)
        for name in _REARRANGES:
            self._patches.replace(module.Cache, name, self._wrap_rearrange)

    def _wrap_update(self, update: Callable[..., Any]) -> Callable[..., Any]:
        def updated(cache: Any, *args: Any, **kwargs: Any) -> Any:
            if self._ignores() or torch.is_grad_enabled():
                return update(cache, *args, **kwargs)
            layer = _layer_index(args, kwargs)
            self._before(cache, layer)
            result = update(cache, *args, **kwargs)
            self._after(cache, layer)
            return result

        return updated

    def _wrap_rearrange(self, rearrange: Callable[..., Any]) -> Callable[..., Any]:
        def rearranged(cache: Any, *args: Any, **kwargs: Any) -> Any:
            result = rearrange(cache, *args, **kwargs)
            if not self._ignores():
                self._after(cache, None)
            return result

        return rearranged

    def _ignores(self) -> bool:
        return torch.compiler.is_compiling() or self._scopes.paused

    def _before(self, cache: Any, layer: int | None) -> None:
        """Names the model's call after what its cache holds: nothing yet, or a context."""
        try:
            scope = self._scopes.current()
            forward = (p for p in reversed(scope.phases) if p.name == "forward" and not p.is_range)
            phase = next(forward, None)
            if phase is None or phase.by_user:
                return
            phase.context = _context_length(cache, layer or 0)
            phase.name = "decode" if phase.context else "prefill"
            self._scopes.turn_at(phase)
            self._facts.cache(cache)
        except Exception as error:
            self._guard.note(error, "cache update")

    def _after(self, cache: Any, layer: int | None) -> None:
        try:
            layers = cache.layers
            offloading = getattr(cache, "offloading", False)
            chosen = range(len(layers)) if layer is None or offloading else (layer,)
            scope = self._scopes.current()
            name = self._name_of(cache, scope)
            for index in chosen:
                self._label_layer(scope, layers[index], f"{name}.layers.{index}")
        except Exception as error:
            self._guard.note(error, "cache update")

    def _name_of(self, cache: Any, scope: Scope) -> str:
        """What a cache is called: after the first model that was called with it."""
        name = self._names.get(cache)
        if name is None and scope.calls:
            model: Any = scope.calls[0][0]
            name = self._paths.name_in(self._paths.owner_of(model), "cache")
            self._names[cache] = name
        return name or "cache"

    def _label_layer(self, scope: Scope, layer: object, name: str) -> None:
        for path, tensor in tensors_in(vars(layer)):
            self._storages.label(tensor, kind_of(path), scope, self._number(f"{name}.{path}"))

    def label_object(self, scope: Scope, cache: Any) -> None:
        """Labels a whole cache that existed before the recording."""
        for index, layer in enumerate(getattr(cache, "layers", ())):
            self._label_layer(scope, layer, f"cache.layers.{index}")

    def label_named(self, scope: Scope, named: dict[str, Any]) -> bool:
        """Labels caches among a model's arguments or results by name; says if there were any."""
        found = any(dict.get(named, name) is not None for name in CACHE_NAMES)
        for name, value in named_caches(named):
            for path, tensor in tensors_in(value, name):
                self._storages.label(tensor, kind_of(path), scope, self._number(path))
        return found


def named_caches(named: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields the caches by name that are not transformers' own `Cache`, whose updates are seen."""
    for name in CACHE_NAMES:
        value = dict.get(named, name)
        if value is not None and not hasattr(type(value), "update_conv_state"):
            yield name, value


def kind_of(path: str) -> int:
    """The label of a cache's tensor by the name of its attribute."""
    return RECURRENT if _RECURRENT.search(path) else KV_CACHE


def _layer_index(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    if isinstance(kwargs.get("layer_idx"), int):
        return int(kwargs["layer_idx"])
    return next((value for value in args if type(value) is int), None)


def _context_length(cache: Any, layer: int) -> int:
    held = cache.layers[layer] if layer < len(cache.layers) else None
    previous = getattr(held, "has_previous_state", None)
    if previous is not None and not hasattr(held, "keys"):
        values = previous.values() if isinstance(previous, dict) else (previous,)
        return int(any(bool(value) for value in values))
    return int(cache.get_seq_length(layer))
