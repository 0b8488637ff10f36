"""Finds the tensors in whatever holds them, and the storages under a tensor.

Nothing here runs code of the program under study: no properties, no arbitrary mappings (an
offloaded weights map reads the disk when it is iterated), no `isinstance` on strangers.
"""

from __future__ import annotations

import dataclasses
import gc
from collections import UserDict
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass_type

PLAIN = (torch.Tensor, torch.nn.Parameter)
_SPARSE_PARTS = {
    torch.sparse_coo: ("_indices", "_values"),
    torch.sparse_csr: ("crow_indices", "col_indices", "values"),
    torch.sparse_bsr: ("crow_indices", "col_indices", "values"),
    torch.sparse_csc: ("ccol_indices", "row_indices", "values"),
    torch.sparse_bsc: ("ccol_indices", "row_indices", "values"),
}
_NAMES = (str, int)
MAX_DEPTH = 8
ATTACHED_DEPTH = 3


def is_tensor(value: object) -> bool:
    """Whether `value` is a tensor, without asking `value` itself."""
    return issubclass(type(value), torch.Tensor)


def living_tensors() -> list[torch.Tensor]:
    """Every tensor that the garbage collector knows."""
    kinds: dict[type, bool] = {}
    found = []
    for value in gc.get_objects():
        kind = type(value)
        if kind not in kinds:
            kinds[kind] = issubclass(kind, torch.Tensor)
        if kinds[kind]:
            found.append(value)
    return found


def plain_parts(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yields the dense tensors that a tensor is made of; itself if it is dense and plain."""
    kind: Any = type(tensor)
    if kind not in PLAIN and is_traceable_wrapper_subclass_type(kind):
        names, _ = flattened(tensor)
        for part in (getattr(tensor, name) for name in names):
            if is_tensor(part):  # a DTensor names its device mesh too
                yield from plain_parts(part)
    elif tensor.layout is torch.strided:
        yield tensor
    else:
        for part in _SPARSE_PARTS.get(tensor.layout, ()):
            yield from plain_parts(getattr(tensor, part)())


def flattened(tensor: Any) -> Any:
    """A wrapper subclass's inner tensors by attribute name, and its context."""
    return tensor.__tensor_flatten__()


def storages_of(value: Any) -> list[torch.UntypedStorage]:
    """The storages with memory of their own under a tensor; empty for anything else."""
    if not is_tensor(value):
        return []
    while torch._C._functorch.is_functorch_wrapped_tensor(value):
        value = torch._C._functorch.get_unwrapped(value)
    storages = (part.untyped_storage() for part in plain_parts(value))
    return [storage for storage in storages if device_of(storage).type != "meta"]


def device_of(storage: torch.UntypedStorage) -> torch.device:
    """Where the bytes of a storage are, or where those of a predicted run would be."""
    return storage._fake_device or storage.device


def tensors_in(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields (path, tensor) for every tensor in nested containers, modules and plain objects."""
    if is_tensor(value):
        yield path, value
    elif depth < MAX_DEPTH:
        for name, item in _items(value):
            yield from tensors_in(item, f"{path}.{name}" if path else name, depth + 1)


def attached_to(tensor: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields (path, tensor) for what a tensor's own attributes keep, as a quantised weight does."""
    for name, value in list(_own(tensor).items()):
        if not issubclass(type(value), torch.nn.Module):
            yield from tensors_in(value, name, MAX_DEPTH - ATTACHED_DEPTH)


def _items(value: Any) -> Iterator[tuple[str, object]]:
    kind = type(value)
    if issubclass(kind, dict):
        for place, (key, item) in enumerate(list(dict.items(value))):
            yield str(key if type(key) in _NAMES else place), item
    elif issubclass(kind, UserDict):
        yield from _items(value.data)
    elif issubclass(kind, (list, tuple, set, frozenset)):
        yield from ((str(place), item) for place, item in enumerate(list(value)))
    elif issubclass(kind, torch.nn.Module):
        yield from value.named_parameters()
        yield from value.named_buffers()
    elif dataclasses.is_dataclass(kind):
        fields = (field.name for field in dataclasses.fields(kind))
        yield from ((name, vars(value)[name]) for name in fields if name in _own(value))
    elif is_plain_object(kind):
        yield from list(_own(value).items())


def _own(value: object) -> dict[str, object]:
    return getattr(value, "__dict__", {})


def is_plain_object(kind: type) -> bool:
    """Whether a class is a program's own, whose objects keep what they hold in attributes."""
    return not issubclass(kind, (type, torch.dtype, torch.device)) and kind.__module__ not in (
        "builtins",
        "types",
    )
