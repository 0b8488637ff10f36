"""The live storages as the allocator knows them; what it did not make is followed as a storage."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from memprof.record.containers import PLAIN, storages_of
from memprof.record.journal import Journal, now_ns
from memprof.record.storages import Known, StorageRef, Storages

if TYPE_CHECKING:
    from memprof.record.scopes import Scope

FOREIGN = -1
AGAIN = 1 << 8


class Followed(weakref.ref[torch.UntypedStorage]):
    """A storage that may end on a thread that nobody observes."""

    __slots__ = ("address", "key")

    key: int
    address: int


class NativeStorages(Storages):
    """Labels by address.

    A storage whose memory the allocator did not hand out (mapped from a file, borrowed from
    numpy, or allocated where nobody looked) is noted when something labels it, and followed by a
    weak reference from then on.
    """

    def __init__(
        self,
        native: Any,
        journal: Journal,
        stack_bytes: int,
        place: Callable[[Scope], tuple[int, int]],
    ) -> None:
        super().__init__(journal, stack_bytes, place)
        self._native = native
        self._emptied: dict[int, tuple[int, ...]] = {}
        self._followed: dict[int, Followed] = {}
        self.next_id = native.next_id

    def mark(self) -> Any:
        """A mark in what the calling thread allocates, for `change_since`."""
        return self._native.since(0, 0, 0), self._newest()

    def change_since(self, mark: Any) -> object:
        """How many blocks, of how many bytes, came and went on this thread; None for none."""
        counts, newest = mark
        change = self._native.since(*counts)
        if self._newest() is not newest:
            return object()
        return change if change[0] else None

    def alive_since(self, first: int) -> list[tuple[int, int]]:
        """Id and labels of what is alive and was allocated from the id `first` on, in order."""
        return sorted([*super().alive_since(first), *self._native.alive_since(first)])

    @contextmanager
    def exchanging(self) -> Iterator[None]:
        """While a library exchanges data: what it allocates for itself is not noted.

        It would free that on threads of its own, where nobody looks.
        """
        was = self._native.mute(True)
        try:
            yield
        finally:
            self._native.mute(was)

    def born_in_exchange(self, tensor: torch.Tensor, op: int, scope: Scope) -> None:
        """Notes the result of an exchange unless it is known."""
        self._native.noted_late(tensor.untyped_storage()._cdata)

    def follow(self, storage: torch.UntypedStorage) -> None:
        """Sees to it that a storage's end is noted on whatever thread it comes."""
        known = self._followed.get(storage._cdata)
        if known is None or known.address != storage.data_ptr():
            followed = Followed(storage, self._ended)
            followed.key, followed.address = storage._cdata, storage.data_ptr()
            self._followed[followed.key] = followed

    def forget(self) -> None:
        """Lets go of every storage: what ends from now on is not noted."""
        self._followed.clear()
        super().forget()

    def _ended(self, followed: weakref.ref[torch.UntypedStorage]) -> None:
        assert isinstance(followed, Followed)
        if self._followed.get(followed.key) is followed:
            del self._followed[followed.key]
            if not self._native.observed():
                self._native.died(followed.address)

    def _newest(self) -> StorageRef | None:
        return next(reversed(self.live.values()), None)

    def known_under(self, value: object) -> Sequence[StorageRef | Known]:
        """What is known of the storages under a tensor."""
        known: list[StorageRef | Known] = []
        for storage in storages_of(value):
            block = self._native.known(storage._cdata)
            followed = self.live.get(storage._cdata)
            if block is not None:
                known.append(Known(storage._cdata, *block))
            elif followed is not None:
                known.append(followed)
        return known

    def any_unlabelled_like(self, kind: int) -> bool:
        """Whether something without a label has the size of a `LABELS[kind]`, half or twice."""
        return self._native.unlabelled_like(kind) or super().any_unlabelled_like(kind)

    def any_without(self, labels: int, least: int, before: int) -> bool:
        """Whether an allocation of some size, older than `before`, has none of some labels."""
        unlabelled = bool(self._native.any_without(labels, least, before))
        return unlabelled or super().any_without(labels, least, before)

    def allocation_of(self, storage: torch.UntypedStorage) -> int:
        """The id of the allocation under a storage; -1 where it is not known."""
        block = self._native.known(storage._cdata)
        return super().allocation_of(storage) if block is None else int(block[0])

    def born(
        self, tensor: torch.Tensor, op: int, scope: Scope, origin: int = 0
    ) -> StorageRef | None:
        """Notes a storage that the allocator did not make; None for its own."""
        if self._native.known(tensor.untyped_storage()._cdata) is not None:
            return None
        return super().born(tensor, op, scope, origin)

    def existed(
        self,
        storage: torch.UntypedStorage,
        tensor: torch.Tensor,
        scope: Scope,
        *,
        found: bool = False,
    ) -> None:
        """Notes a storage from before the recording, or one `found` in the middle of it."""
        known = self._native.known(storage._cdata) is not None
        if not known and not self._native.existed(storage._cdata, found):
            super().existed(storage, tensor, scope, found=found)

    def found(self, storage: torch.UntypedStorage) -> None:
        """Notes a storage whose birth may not have been seen, if the allocator made it."""
        if storage._cdata not in self.live and self._native.known(storage._cdata) is None:
            self._native.existed(storage._cdata, True)

    def recall(self, storage: torch.UntypedStorage) -> object | None:
        """What is known of a storage that is about to change its size, for `renew`."""
        known = self._native.known(storage._cdata) or self._emptied.pop(storage._cdata, None)
        return known or super().recall(storage)

    def renew(self, storage: torch.UntypedStorage, before: Any, op: int, scope: Scope) -> None:
        """Lets a storage's new memory go on from its old; the allocator reported both."""
        self._followed.pop(storage._cdata, None)
        if isinstance(before, StorageRef):
            before = self._gone(before)
        if storage.nbytes():
            allocation, _, *labelled = before
            self._native.continues(storage._cdata, allocation, *labelled)
        else:
            self._emptied[storage._cdata] = before

    def _gone(self, ref: StorageRef) -> tuple[int, ...]:
        """Notes the end of memory from elsewhere; what replaces it is the allocator's."""
        del self.live[ref.key]
        self._events((now_ns(), ~ref.allocation))
        return ref.allocation, ref.nbytes, ref.labels, ref.name, ref.module

    def _label_storage(
        self,
        storage: torch.UntypedStorage,
        value: Any,
        kind: int,
        scope: Scope,
        name: int,
        module: int,
    ) -> None:
        tensor = value._cdata if type(value) in PLAIN else 0
        followed = storage._cdata in self.live
        if followed or self._native.label(storage._cdata, tensor, kind, name, module) == FOREIGN:
            super()._label_storage(storage, value, kind, scope, name, module)

    def label_key(self, key: int, kind: int, name: int) -> bool:
        """Labels the storage at an address if it is known; says whether it is."""
        if super().label_key(key, kind, name):
            return True
        return bool(self._native.label(key, 0, kind, name, 0) == 0)

    def relabel(self, value: object, kind: int, scope: Scope, name: int = 0) -> None:
        """Labels again even what has the label: the user's latest word counts."""
        for storage in storages_of(value):
            followed = storage._cdata in self.live
            if followed or self._native.label(storage._cdata, 0, kind | AGAIN, name, 0) == FOREIGN:
                super().relabel(value, kind, scope, name)
