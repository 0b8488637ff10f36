"""Calls back after every operator that exchanges data with other processes.

PyTorch looks for a kernel of an operator along a list of keys. Under the one that every call
passes last, also in inference mode, stands a function of ours that calls the kernel it would have
found, so that collectives started from C++ are seen as well and other operators cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final

import torch

from memprof.record.guard import Guard
from memprof.record.patches import Patches

Exchanged = Callable[[Any, Any, Any], None]  # the operator, its arguments, its result

_NAMESPACES: Final = ("c10d", "_c10d_functional", "_dtensor")
_KEY: Final = "BackendSelect"
Library: Any = torch.library.Library


class Exchanges:
    """Registers the kernels once there are processes to exchange data with.

    Args:
        exchanged: is called after an operator.
        around: is entered while a library exchanges data.
    """

    def __init__(
        self, exchanged: Exchanged, around: Callable[[], AbstractContextManager[None]], guard: Guard
    ) -> None:
        self._exchanged = exchanged
        self._around = around
        self._guard = guard
        self._after = torch._C._dispatch_keyset_full_after(getattr(torch._C.DispatchKey, _KEY))
        self._libraries: list[Any] = []

    def install(self, patches: Patches) -> None:
        """Waits for the first process group; undoing `patches` removes the kernels."""
        patches.on_undo(self._remove)
        if torch.distributed.is_initialized():
            self._guard(self._register)()
        else:
            c10d = torch.distributed.distributed_c10d
            patches.replace(c10d, "_new_process_group_helper", self._wrap_group)

    def _wrap_group(self, make: Callable[..., Any]) -> Callable[..., Any]:
        def make_group(*args: Any, **kwargs: Any) -> Any:
            self._guard(self._register)()
            return make(*args, **kwargs)

        return make_group

    def _register(self) -> None:
        if self._libraries:
            return
        for namespace in _NAMESPACES:
            library = Library(namespace, "IMPL")
            self._libraries.append(library)
            for operator in _operators(namespace):
                name = operator.name().partition("::")[2]
                library.impl(name, self._kernel(operator), _KEY, with_keyset=True)

    def _kernel(self, operator: Any) -> Callable[..., Any]:
        def exchange(keys: Any, *args: Any, **kwargs: Any) -> Any:
            with self._around():
                result = operator.redispatch(keys & self._after, *args, **kwargs)
            try:
                self._exchanged(operator, args, result)
            except Exception as error:
                self._guard.note(error, "exchange")
            return result

        return exchange

    def _remove(self) -> None:
        while self._libraries:
            self._libraries.pop()._destroy()


def _operators(namespace: str) -> Iterator[Any]:
    for schema in torch._C._jit_get_all_schemas():
        space, _, name = schema.name.partition("::")
        if space == namespace:
            packet = getattr(getattr(torch.ops, namespace), name)
            yield getattr(packet, schema.overload_name or "default")
