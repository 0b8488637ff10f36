"""What an object keeps under a path, followed from look to look: new, longer, written into."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

import torch

from memprof.record.scopes import Scope
from memprof.record.storages import Storages


def is_due(count: int) -> bool:
    """Whether to look again at the `count`th occasion: the first, second, 16th, 256th, ..."""
    return count in (1, 2) or (count.bit_count() == 1 and count.bit_length() % 4 == 1)


class Change(Enum):
    """What became of a tensor since the last look."""

    NEW = "new"
    SAME = "same"
    WRITTEN = "written"
    GREW = "grew"
    REPLACED = "replaced"


@dataclass(slots=True)
class Past:
    """What was found under one path.

    Attributes:
        allocations: at the last look.
        nbytes, version: of these, and of the tensor over them.
        before: allocations of earlier looks that have no label yet; they may be dead.
        kind: the label it turned out to deserve, -1 as long as nothing is known.
    """

    allocations: tuple[int, ...] = ()
    nbytes: int = 0
    version: int = 0
    before: list[int] = field(default_factory=list)
    kind: int = -1


class Found(NamedTuple):
    """One tensor at one look."""

    path: str
    tensor: torch.Tensor
    change: Change
    past: Past


class History:
    """Follows one object."""

    def __init__(self, storages: Storages) -> None:
        self._storages = storages
        self._pasts: dict[str, Past] = {}

    def look(self, tensors: Iterable[tuple[str, torch.Tensor]]) -> Iterator[Found]:
        """Compares what is found now with what was found at the last look."""
        for path, tensor in tensors:
            known = self._storages.known_under(tensor)
            now = Past(
                tuple(ref.allocation for ref in known),
                sum(ref.nbytes for ref in known),
                0 if tensor.is_inference() else tensor._version,
            )
            past = self._pasts.setdefault(path, Past())
            yield Found(path, tensor, _change(past, now), past)
            if past.kind < 0 and past.allocations != now.allocations:
                past.before.extend(past.allocations)
            past.allocations, past.nbytes, past.version = now.allocations, now.nbytes, now.version

    def label(self, scope: Scope, found: Found, kind: int, name: int, module: int) -> None:
        """Labels a tensor, and what was found in its place before."""
        past = found.past
        past.kind = kind
        self._storages.label(found.tensor, kind, scope, name, module)
        for allocation in past.before:
            self._storages.label_allocation(allocation, kind, name, module)
        past.before.clear()


def _change(past: Past, now: Past) -> Change:
    if not past.allocations:
        return Change.NEW
    if past.allocations != now.allocations:
        return Change.GREW if now.nbytes > past.nbytes else Change.REPLACED
    return Change.SAME if past.version == now.version else Change.WRITTEN
