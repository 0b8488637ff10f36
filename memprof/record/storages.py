"""The live storages: births, deaths, new sizes, and labels, each noted as one row.

A storage is known by the address of its C++ object. PyTorch keeps the Python object of a
storage for as long as the C++ one lives, so a weak reference dies exactly when the memory goes.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch

from memprof.record.containers import device_of, storages_of
from memprof.record.journal import Journal, now_ns
from memprof.record.stacks import Stacks
from memprof.trace.schema import LABELS, ORIGINS

if TYPE_CHECKING:
    from memprof.record.scopes import Scope

OPERATION: Final = ORIGINS.index("operation")
BEFORE: Final = ORIGINS.index("before")
FOUND: Final = ORIGINS.index("found")
COMPILED: Final = ORIGINS.index("compiled")
RESIZED: Final = ORIGINS.index("resized")

UNNUMBERED: Final = 1 << 62  # nodes that accumulate gradients have the largest number there is

LABEL: Final = {label: number for number, label in enumerate(LABELS)}

in_backward = torch._C._current_graph_task_id
current_node = torch._C._current_autograd_node


def running_node() -> int:
    """The number of the autograd node that is running, -1 for none and for those without one."""
    node = current_node()
    number = -1 if node is None else node._sequence_nr()
    return number if number < UNNUMBERED else -1


class StorageRef(weakref.ref[torch.UntypedStorage]):
    """One live storage: its allocation's id, its key, its size, its labels so far, its name."""

    __slots__ = ("allocation", "key", "labels", "module", "name", "nbytes")

    allocation: int
    key: int
    nbytes: int
    labels: int
    name: int
    module: int


class Known(NamedTuple):
    """What is known of a storage: the same as of a `StorageRef`."""

    key: int
    allocation: int
    nbytes: int
    labels: int
    name: int
    module: int


class Storages:
    """Every storage known to be alive.

    Attributes:
        live: by the address of the C++ object, in order of birth.
        stack_bytes: allocations of at least this size get a Python stack.
    """

    def __init__(
        self, journal: Journal, stack_bytes: int, place: Callable[[Scope], tuple[int, int]]
    ) -> None:
        self.live: dict[int, StorageRef] = {}
        self.stack_bytes = stack_bytes
        self.next_id = itertools.count().__next__
        self._place = place
        self._strings = journal.strings
        self._stacks = Stacks(journal.strings)
        self._devices: dict[torch.device, int] = {torch.device("meta"): -1}
        self._allocations = journal.tables["allocations"].add
        self._events = journal.tables["events"].add
        self._labels = journal.tables["labels"].add
        self._details = journal.tables["details"].add
        self._streams = journal.tables["streams"].add
        self._on_death = self._make_on_death()

    def _make_on_death(self) -> object:
        events, live = self._events, self.live

        def died(ref: StorageRef) -> None:
            events((now_ns(), ~ref.allocation))
            if live.get(ref.key) is ref:
                del live[ref.key]

        return died

    def born(
        self, tensor: torch.Tensor, op: int, scope: Scope, origin: int = OPERATION
    ) -> StorageRef | None:
        """Notes the storage of a plain tensor unless it is known; None if it has no memory."""
        storage = tensor.untyped_storage()
        known = self.live.get(storage._cdata)
        if known is not None:
            return known
        return self._birth(storage, tensor, op, scope, origin, -1)

    def _birth(
        self,
        storage: torch.UntypedStorage,
        tensor: torch.Tensor | None,
        op: int,
        scope: Scope,
        origin: int,
        previous: int,
    ) -> StorageRef | None:
        where = device_of(storage)
        device = self._devices.get(where)
        if device is None:
            device = self._devices[where] = self._strings.number(str(where))
        if device < 0 or (tensor is not None and tensor._is_zerotensor()):
            return None  # a zero tensor names a size and has no memory
        ref = StorageRef(storage, self._on_death)  # type: ignore[arg-type]
        ref.key, ref.nbytes = storage._cdata, storage.nbytes()
        ref.labels = ref.name = ref.module = 0
        module, phase, sequence = scope.module, scope.phase, -1
        if origin == OPERATION and in_backward() != -1:
            module, phase = self._place(scope)
            sequence = running_node()
        ref.allocation = allocation = self.next_id()
        if self.live.setdefault(ref.key, ref) is not ref:
            return self.live[ref.key]  # another thread was first
        self._allocations(
            (
                allocation,
                ref.nbytes,
                op,
                module,
                phase,
                sequence,
                device,
                origin,
                previous,
            )
        )
        self._events((now_ns(), allocation))
        if storage.device.type == "cuda" and origin == OPERATION:
            self._stream(allocation, storage.device)
        if ref.nbytes >= self.stack_bytes:
            self._detail(allocation, tensor, storage)
        return ref

    def _stream(self, allocation: int, device: torch.device) -> None:
        stream = torch.cuda.current_stream(device).stream_id
        if stream:
            self._streams((now_ns(), allocation, stream, 0))

    def _detail(
        self, allocation: int, tensor: torch.Tensor | None, storage: torch.UntypedStorage
    ) -> None:
        text = f"bytes[{storage.nbytes()}]"
        if tensor is not None:
            text = f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
        self._details((allocation, self._strings.number(text), self._stacks.capture()))

    def existed(
        self,
        storage: torch.UntypedStorage,
        tensor: torch.Tensor,
        scope: Scope,
        *,
        found: bool = False,
    ) -> None:
        """Notes a storage from before the recording, or one `found` in the middle of it."""
        if storage._cdata not in self.live:
            self._birth(storage, tensor, 0, scope, FOUND if found else BEFORE, -1)

    def resized(self, storage: torch.UntypedStorage, op: int, scope: Scope) -> None:
        """Notes a known storage's new size as a death and a birth; its labels go on."""
        ref = self.live.get(storage._cdata)
        if ref is None:
            self._birth(storage, None, op, scope, OPERATION, -1)
        elif storage.nbytes() != ref.nbytes:
            del self.live[ref.key]
            self._events((now_ns(), ~ref.allocation))
            renewed = self._birth(storage, None, op, scope, RESIZED, ref.allocation)
            if renewed is not None:
                renewed.labels, renewed.name, renewed.module = ref.labels, ref.name, ref.module

    def recall(self, storage: torch.UntypedStorage) -> object | None:
        """What is known of a storage that is about to change its size, for `renew`."""
        return self.live.get(storage._cdata)

    def renew(self, storage: torch.UntypedStorage, before: Any, op: int, scope: Scope) -> None:
        """Notes a storage that has changed its size."""
        self.resized(storage, op, scope)

    def label(self, value: object, kind: int, scope: Scope, name: int = 0, module: int = 0) -> None:
        """Notes that a tensor is a `LABELS[kind]`; a storage not met before is noted as found."""
        for storage in storages_of(value):
            self._label_storage(storage, value, kind, scope, name, module)

    def _label_storage(
        self,
        storage: torch.UntypedStorage,
        value: object,
        kind: int,
        scope: Scope,
        name: int,
        module: int,
    ) -> None:
        ref = self.live.get(storage._cdata)
        if ref is None:
            tensor = value if isinstance(value, torch.Tensor) else None
            ref = self._birth(storage, tensor, 0, scope, FOUND, -1)
        if ref is not None:
            self._note_label(ref, kind, name, module)

    def label_key(self, key: int, kind: int, name: int) -> bool:
        """Labels the storage at an address if it is known; says whether it is."""
        ref = self.live.get(key)
        if ref is None:
            return False
        if not ref.labels >> kind & 1:
            self._note_label(ref, kind, name, 0)
        return True

    def _note_label(self, ref: StorageRef, kind: int, name: int, module: int) -> None:
        if ref.labels >> kind & 1 and (ref.name or not name):
            return
        ref.labels |= 1 << kind
        ref.name, ref.module = ref.name or name, ref.module or module
        self._labels((now_ns(), ref.allocation, kind, name, module))

    def label_allocation(self, allocation: int, kind: int, name: int, module: int) -> None:
        """Notes what an allocation was that may have died meanwhile."""
        self._labels((now_ns(), allocation, kind, name, module))

    def alive_since(self, first: int) -> list[tuple[int, int]]:
        """Id and labels of what is alive and was allocated from the id `first` on, in order."""
        living = list(self.live.values())
        return [(ref.allocation, ref.labels) for ref in living if ref.allocation >= first]

    @contextmanager
    def exchanging(self) -> Iterator[None]:
        """While a library exchanges data: what it allocates for itself is not noted."""
        yield

    def born_in_exchange(self, tensor: torch.Tensor, op: int, scope: Scope) -> None:
        """Notes the result of an exchange unless it is known."""
        self.born(tensor, op, scope)

    def follow(self, storage: torch.UntypedStorage) -> None:
        """Sees to it that a storage's end is noted on whatever thread it comes."""

    def forget(self) -> None:
        """Lets go of every storage: what ends from now on is not noted."""
        live = dict(self.live)
        self.live.clear()
        live.clear()

    def relabel(self, value: object, kind: int, scope: Scope, name: int = 0) -> None:
        """Labels again even what has the label: the user's latest word counts."""
        for storage in storages_of(value):
            ref = self.live.get(storage._cdata)
            if ref is not None:
                ref.labels &= ~(1 << kind)
        self.label(value, kind, scope, name)

    def mark(self) -> Any:
        """A mark in the order of allocations, for `change_since`."""
        return self.next_id()

    def change_since(self, mark: Any) -> object:
        """None if nothing allocated since a mark is alive; else a sign, equal for like changes."""
        newest = next(reversed(self.live.values()), None)
        return object() if newest is not None and newest.allocation >= mark else None

    def known_under(self, value: object) -> Sequence[StorageRef | Known]:
        """What is known of the storages under a tensor."""
        known = (self.live.get(storage._cdata) for storage in storages_of(value))
        return [ref for ref in known if ref is not None]

    def any_unlabelled_like(self, kind: int) -> bool:
        """Whether something without a label has the size of a `LABELS[kind]`, half or twice."""
        live = list(self.live.values())
        sizes = {ref.nbytes for ref in live if ref.labels >> kind & 1}
        sizes |= {size // 2 for size in sizes} | {2 * size for size in sizes}
        return any(not ref.labels and ref.nbytes in sizes for ref in live)

    def any_without(self, labels: int, least: int, before: int) -> bool:
        """Whether an allocation of some size, with an id below `before`, has none of some labels.

        Args:
            labels: a bit for each place in `LABELS`.
            least: bytes that it has at least.
            before: ids from here on do not count.
        """
        return any(
            ref.nbytes >= least and ref.allocation < before and not ref.labels & labels
            for ref in list(self.live.values())
        )

    def allocation_of(self, storage: torch.UntypedStorage) -> int:
        """The id of the allocation under a storage; -1 where it is not known."""
        ref = self.live.get(storage._cdata)
        return -1 if ref is None else ref.allocation

    def name_of(self, value: object) -> tuple[int, int]:
        """Name and module that a tensor's storage was labelled with; zeros for none."""
        return next(((ref.name, ref.module) for ref in self.known_under(value)), (0, 0))
