"""Labels what processes exchange data through: buckets, receive buffers, collectives' tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from torch import distributed
from torch._subclasses.fake_tensor import FakeTensor

from memprof.record.containers import PLAIN, storages_of
from memprof.record.exchanges import Exchanges
from memprof.record.guard import Guard
from memprof.record.patches import Patches
from memprof.record.scopes import Scopes
from memprof.record.storages import LABEL, Storages

COMMUNICATION = LABEL["communication"]
EXCHANGED = LABEL["exchanged"]
_RECEIVES: Final = ("c10d::recv_", "c10d::recv_any_source_")


class Communication:
    """Follows the operators that exchange data, and the buckets that no operator's result names.

    What went through a collective may be anything: a gradient, an activation, an input. So it is
    only labelled as exchanged. Buckets of gradients and what another process sends to this one
    are there for the exchange alone.

    Args:
        predicted: whether the program runs on fake tensors, which elsewhere are a compiler's.
    """

    def __init__(
        self,
        storages: Storages,
        scopes: Scopes,
        number: Callable[[str], int],
        guard: Guard,
        *,
        predicted: bool = False,
    ) -> None:
        self._kinds: tuple[type, ...] = (*PLAIN, FakeTensor) if predicted else PLAIN
        self._storages = storages
        self._scopes = scopes
        self._number = number
        self._guard = guard

    def install(self, patches: Patches) -> None:
        """Wraps the two calls in which the reducer of data parallel training makes buckets."""
        if distributed.is_available():
            Exchanges(self._exchanged, self._storages.exchanging, self._guard).install(patches)
            reducer = vars(distributed)["Reducer"]
            patches.replace(reducer, "__init__", self._wrap_buckets)
            patches.replace(reducer, "_rebuild_buckets", self._wrap_buckets)

    def _exchanged(self, operator: Any, args: Any, result: Any) -> None:
        scope = self._scopes.current()
        kind = COMMUNICATION if operator._schema.name in _RECEIVES else EXCHANGED
        for tensor in self._tensors(result):
            self._storages.born_in_exchange(tensor, self._number(str(operator)), scope)
        for tensor in self._tensors((args, result)):
            self._storages.label(tensor, kind, scope)
            for storage in storages_of(tensor):
                self._storages.follow(storage)

    def _wrap_buckets(self, make: Callable[..., Any]) -> Callable[..., Any]:
        def making(reducer: Any, *args: Any, **kwargs: Any) -> Any:
            first = self._storages.next_id()
            result = make(reducer, *args, **kwargs)
            try:
                if result is not False:  # there was nothing to rebuild
                    self._label_since(first)
            except Exception as error:
                self._guard.note(error, "gradient buckets")
            return result

        return making

    def _label_since(self, first: int) -> None:
        """Labels what the reducer has kept: its buckets, and its map of the parameters in use.

        What it has just exchanged, to agree on the buckets, may live on in a thread of gloo.
        """
        alive = self._storages.alive_since(first)
        kept = [allocation for allocation, labels in alive if not labels >> EXCHANGED & 1]
        for place, allocation in enumerate(kept):
            name = self._number(f"reducer.bucket.{place}")
            self._storages.label_allocation(allocation, COMMUNICATION, name, 0)

    def _tensors(self, value: Any) -> Iterator[torch.Tensor]:
        if type(value) in self._kinds:
            yield value
        elif isinstance(value, (list, tuple)):
            for item in value:
                yield from self._tensors(item)
