"""Finds optimizers that are not PyTorch's, by structure.

Whatever object leads both to parameters and to tensors of their shapes, which change from step to
step and have no other label, updates these parameters and keeps its state in those tensors.
"""

from __future__ import annotations

import gc
import weakref
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from typing import Any, Final, NamedTuple

import torch

from memprof.record.containers import (
    MAX_DEPTH,
    is_plain_object,
    is_tensor,
    living_tensors,
    tensors_in,
)
from memprof.record.facts import Facts
from memprof.record.labels.history import Change, History
from memprof.record.scopes import Scope
from memprof.record.storages import LABEL, Known, StorageRef, Storages

PARAMETER = LABEL["parameter"]
STATE = LABEL["optimizer_state"]

_CLIMB: Final = 5
_DEPTH: Final = 5
_KNOWN: Final = (torch.Tensor, torch.nn.Module, torch.optim.Optimizer)
_NAMESPACE: Final = "__name__"


class _State(NamedTuple):
    path: str
    tensor: torch.Tensor
    owner: StorageRef | Known


class Strangers:
    """Searches where something of a parameter's size has no label, ever more rarely."""

    def __init__(self, storages: Storages, facts: Facts) -> None:
        self._storages = storages
        self._facts = facts
        self._calls = 0
        self._keepers: dict[int, tuple[weakref.ref[Any], History]] = {}

    def called(self, scope: Scope) -> None:
        """Before a model's call with gradients on: the step before has ended."""
        self._calls += 1
        if self._calls.bit_count() == 1:
            self._search()
        self._follow(scope)

    def ended(self, scope: Scope) -> None:
        """When the recording ends."""
        if self._calls:
            self._search()
            self._follow(scope)

    def _search(self) -> None:
        if not self._storages.any_unlabelled_like(PARAMETER):
            return
        tensors = self._unlabelled()
        strange = {id(tensor) for tensor in tensors}
        for keeper in keepers_of(tensors):
            states = self._states_of(keeper)
            if id(keeper) not in self._keepers and any(id(s.tensor) in strange for s in states):
                forget = partial(self._forget, id(keeper))
                self._keepers[id(keeper)] = weakref.ref(keeper, forget), History(self._storages)

    def _forget(self, number: int, _: object) -> None:
        self._keepers.pop(number, None)

    def _unlabelled(self) -> list[torch.Tensor]:
        """Tensors that nothing explains and that could be a parameter's state, by their size."""
        tensors = living_tensors()
        held = [(tensor, self._storages.known_under(tensor)) for tensor in tensors]
        sizes = {each.nbytes for _, known in held for each in known if each.labels >> PARAMETER & 1}
        sizes |= {size // 2 for size in sizes} | {2 * size for size in sizes}
        return [
            tensor
            for tensor, known in held
            if any(not each.labels and each.nbytes in sizes for each in known)
        ]

    def _follow(self, scope: Scope) -> None:
        for keeper, history in list(self._keepers.values()):
            states = {state.path: state for state in self._states_of(keeper())}
            for found in list(history.look((path, s.tensor) for path, s in states.items())):
                if found.past.kind >= 0 or found.change not in (Change.NEW, Change.SAME):
                    owner = states[found.path].owner
                    name = f"{self._facts.text(owner.name)}.{_kind(found.path)}".lstrip(".")
                    history.label(scope, found, STATE, self._facts.number(name), owner.module)

    def _states_of(self, keeper: object) -> list[_State]:
        """What a keeper holds beside parameters, each tensor with the parameter it belongs to."""
        parameters: dict[torch.Size, dict[int, StorageRef | Known]] = defaultdict(dict)
        others: list[tuple[str, torch.Tensor]] = []
        for path, tensor in [*_keys_of(keeper), *tensors_in(keeper, "", MAX_DEPTH - _DEPTH)]:
            ref = self._ref(tensor)
            if ref is not None and ref.labels >> PARAMETER & 1:
                parameters[tensor.shape].setdefault(ref.key, ref)
            elif ref is not None and ref.labels in (0, 1 << STATE):
                others.append((path, tensor))
        turns: dict[Any, Iterator[StorageRef | Known]] = {}
        states = []
        for path, tensor in others:
            if alike := parameters.get(tensor.shape):
                turn = turns.setdefault((_kind(path), tensor.shape), cycle(alike.values()))
                states.append(_State(path, tensor, next(turn)))
        return states

    def _ref(self, tensor: torch.Tensor) -> StorageRef | Known | None:
        return next(iter(self._storages.known_under(tensor)), None)


def keepers_of(tensors: list[torch.Tensor]) -> Iterator[Any]:
    """Yields the objects of classes that hold some tensors, directly or in containers."""
    level: list[Any] = list(tensors)
    met = {id(tensors), *map(id, level)}
    for _ in range(_CLIMB):
        met.add(id(level))
        above = [each for each in gc.get_referrers(*level) if id(each) not in met]
        met.update(map(id, above))
        level = [each for each in above if _is_container(each) or _is_keeper(type(each))]
        yield from (each for each in level if _is_keeper(type(each)))


def _is_container(value: object) -> bool:
    kind = type(value)
    if issubclass(kind, dict):
        return _NAMESPACE not in value  # type: ignore[operator]
    return issubclass(kind, (list, tuple, set))


def _is_keeper(kind: type) -> bool:
    ours = kind.__module__.startswith("memprof.")
    followed = kind.__weakrefoffset__ > 0 and is_plain_object(kind) and not ours
    return followed and not issubclass(kind, (*_KNOWN, dict, list, tuple, set))


def _keys_of(keeper: object) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors by which a keeper's dictionaries are sorted."""
    for value in list(getattr(keeper, "__dict__", {}).values()):
        if issubclass(type(value), dict):
            yield from (("", key) for key in dict.keys(value) if is_tensor(key))


def _kind(path: str) -> str:
    """A path without the places in lists."""
    return ".".join(part for part in path.split(".") if not part.isdigit())
