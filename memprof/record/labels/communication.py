"""Labels what processes exchange data through: buckets, receive buffers, collectives' tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from torch import distributed

from memprof.record.containers import is_tensor
from memprof.record.guard import Guard
from memprof.record.patches import Patches
from memprof.record.scopes import Scope, Scopes
from memprof.record.storages import LABEL, Storages

COMMUNICATION = LABEL["communication"]
EXCHANGED = LABEL["exchanged"]
_RECEIVES: Final = ("c10d::recv_", "c10d::recv_any_source_")


class Communication:
    """Follows the operators that exchange data, and the buckets that no operator's result names.

    What went through a collective may be anything: a gradient, an activation, an input. So it is
    only labelled as exchanged. Buckets of gradients and what another process sends to this one
    are there for the exchange alone.
    """

    def __init__(
        self, storages: Storages, scopes: Scopes, number: Callable[[str], int], guard: Guard
    ) -> None:
        self._storages = storages
        self._scopes = scopes
        self._number = number
        self._guard = guard

    def install(self, patches: Patches) -> None:
        """Wraps the two calls in which the reducer of data parallel training makes buckets."""
        reducer = getattr(distributed, "Reducer", None)
        if reducer is not None:
            patches.replace(reducer, "__init__", self._wrap_buckets)
            patches.replace(reducer, "_rebuild_buckets", self._wrap_buckets)

    def exchanged(self, func: Any, args: Any, result: Any, scope: Scope) -> None:
        """Labels the tensors of an operator that has just exchanged data."""
        kind = COMMUNICATION if func._schema.name in _RECEIVES else EXCHANGED
        for value in (args, result):
            for tensor in _tensors(value):
                self._storages.label(tensor, kind, scope)

    def _wrap_buckets(self, make: Callable[..., Any]) -> Callable[..., Any]:
        def making(reducer: Any, *args: Any, **kwargs: Any) -> Any:
            first = self._storages.next_id()
            result = make(reducer, *args, **kwargs)
            try:
                self._label_since(first)
            except Exception as error:
                self._guard.note(error, "gradient buckets")
            return result

        return making

    def _label_since(self, first: int) -> None:
        """Labels what the reducer has kept: its buckets, and its map of the parameters in use.

        What it has just exchanged, to agree on the buckets, may live on in a thread of gloo.
        """
        born = [r for r in self._storages.born_since(first) if not r.labels >> EXCHANGED & 1]
        for place, ref in enumerate(reversed(born)):
            name = self._number(f"reducer.bucket.{place}")
            self._storages.label_key(ref.key, COMMUNICATION, name)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if is_tensor(value):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
