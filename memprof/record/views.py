"""Storages that are alive for a small part of them: a view keeps all of what it was taken from."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import torch

from memprof.record.containers import PLAIN, living_tensors
from memprof.record.journal import Journal, now_ns
from memprof.record.storages import LABEL, Storages

_EXPLAINED: Final = sum(
    1 << LABEL[label]
    for label in ("parameter", "buffer", "gradient", "optimizer_state", "kv_cache", "input")
)
#: A view of a tensor that nothing else holds; on this device it takes no memory.
_EXAMPLE: Final = torch.empty(2, device="meta")[:1]


class Part(NamedTuple):
    """A storage that living tensors cover only in part.

    Attributes:
        storage: the storage.
        covered: bytes that tensors cover which somebody can still reach; overlaps count once.
        largest: the largest of those tensors.
    """

    storage: torch.UntypedStorage
    covered: int
    largest: torch.Tensor


class Views:
    """Looks at the ends of steps, ever more rarely, where something old and large is unexplained.

    A program that declares its steps is looked at where these end; any other before the outermost
    calls of its models.
    """

    def __init__(self, journal: Journal, storages: Storages) -> None:
        self._rows = journal.tables["views"].add
        self._number = journal.strings.number
        self._storages = storages
        self._told: dict[int, int] = {}
        self._turns = 0
        self._declared = False
        self._begun = -1

    def called(self) -> None:
        """Before a model's outermost call."""
        if not self._turns:
            self._begun = self._storages.next_id()
        if not self._declared:
            self._turn()

    def stepped(self) -> None:
        """Where the program says that a step ends."""
        self._declared = True
        self._turn()

    def ended(self) -> None:
        """When the recording ends: at everything, for once."""
        self._look(self._storages.next_id())

    def _turn(self) -> None:
        """Looks at what was there when this turn began: what is its own may be in use."""
        self._turns += 1
        due, least = self._turns.bit_count() == 1, self._storages.stack_bytes
        if due and self._storages.any_without(_EXPLAINED, least, self._begun):
            self._look(self._begun)
        if (self._turns + 1).bit_count() == 1:
            self._begun = self._storages.next_id()

    def _look(self, before: int) -> None:
        for part in parts(self._storages.stack_bytes):
            allocation = self._storages.allocation_of(part.storage)
            if 0 <= allocation < before and self._told.get(allocation) != part.covered:
                self._told[allocation] = part.covered
                text = self._number(_text(part.largest))
                self._rows((now_ns(), allocation, part.covered, text))


def parts(least: int) -> Iterator[Part]:
    """Yields the storages of at least so many bytes that are alive for a part of them.

    Those that anything but tensors refers to, such as an autograd graph, are left out.
    """
    unheld = _references_where_unheld()
    for tensors in _by_storage().values():
        storage = tensors[0].untyped_storage()
        if storage.device.type != "meta" and storage.nbytes() >= least:
            yield from _part_of(storage, tensors, unheld)


def _by_storage() -> dict[int, list[torch.Tensor]]:
    groups: defaultdict[int, list[torch.Tensor]] = defaultdict(list)
    for tensor in living_tensors():
        if type(tensor) in PLAIN and tensor.layout is torch.strided:
            groups[tensor.untyped_storage()._cdata].append(tensor)
    return groups


def _references_where_unheld() -> int:
    """References to a tensor that only a view of it and the lists here know of."""
    example = [_EXAMPLE, *_with_bases([_EXAMPLE])[1:]]  # as found: `gc.freeze()` hides both
    return max(_references_behind(_with_bases(example)).values())


def _part_of(
    storage: torch.UntypedStorage, tensors: list[torch.Tensor], unheld: int
) -> Iterator[Part]:
    tensors = _with_bases(tensors)
    if torch._C._storage_Use_Count(storage._cdata) != len(tensors) + 1:  # and its Python object
        return
    references = _references_behind(tensors)
    held = [each for each in tensors if references.get(id(each), unheld + 1) > unheld]
    covered = min(_union(held), sum(tensor.nbytes for tensor in held))
    if held and covered < storage.nbytes():
        yield Part(storage, covered, max(held, key=lambda tensor: tensor.nbytes))


def _with_bases(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Adds the tensors that only C++ has met, of which there are views."""
    bases = [tensor._base for tensor in tensors if tensor._is_view()]
    known = {id(tensor): tensor for tensor in [*tensors, *bases] if tensor is not None}
    return list(known.values())


def _references_behind(tensors: list[torch.Tensor]) -> dict[int, int]:
    """How often Python refers to each tensor to which C++ does so only for views of it."""
    views = Counter(id(tensor._base) for tensor in tensors if tensor._is_view())
    known: list[Any] = tensors  # `_use_count` is not in the stubs
    return {
        id(tensor): sys.getrefcount(tensor)
        for tensor in known
        if tensor._use_count() == views[id(tensor)] + 1 > 1  # the other is its Python object
    }


def _union(tensors: list[torch.Tensor]) -> int:
    """Bytes of a storage from the first to the last element of each tensor; overlaps once."""
    total = reached = 0
    for begin, end in sorted(map(_extent, tensors)):
        total += max(end - max(begin, reached), 0)
        reached = max(reached, end)
    return total


def _extent(tensor: torch.Tensor) -> tuple[int, int]:
    begin = int(tensor.storage_offset())
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    elements = 1 + sum((size - 1) * step for size, step in steps) if tensor.numel() else 0
    return begin * tensor.itemsize, (begin + elements) * tensor.itemsize


def _text(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
