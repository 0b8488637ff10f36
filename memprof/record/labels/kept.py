"""Labels what modules keep beside their parameters: tables, keys and values, recurrent states.

Nothing announces a plain attribute, and a buffer may be a cache. What calls without gradients
lengthen or write into is carried from call to call; what they leave alone is a table.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterator
from types import NoneType
from typing import Final

import torch

from memprof.record.containers import MAX_DEPTH, is_tensor, tensors_in
from memprof.record.labels.history import Change, Found, History, is_due
from memprof.record.modules import Paths
from memprof.record.scopes import Scope
from memprof.record.storages import LABEL, Storages

BUFFER = LABEL["buffer"]
PARAMETER = LABEL["parameter"]
KV_CACHE = LABEL["kv_cache"]
RECURRENT = LABEL["recurrent_state"]
Module = torch.nn.Module

_OWN: Final = frozenset(vars(Module()))
_DEPTH: Final = 3
_LONGEST: Final = 4096
_CACHE: Final = re.compile(r"cache|past|kv|key|value|\b[kv]\b|latent|mem")
_STATE: Final = re.compile(r"conv|recurrent|ssm|rnn|state")
_OTHER: Final = re.compile(r"cos|sin\b|sin_|rope|rot|freq|mask|pos|hidden|logit|out|loss")


class Kept:
    """Looks at a model's modules around its calls, ever more rarely where nothing changes."""

    def __init__(self, storages: Storages, paths: Paths, number: Callable[[str], int]) -> None:
        self._storages = storages
        self._paths = paths
        self._number = number
        self._runs: weakref.WeakKeyDictionary[Module, tuple[bool, int]] = (
            weakref.WeakKeyDictionary()
        )
        self._carriers: weakref.WeakKeyDictionary[Module, weakref.WeakSet[Module]] = (
            weakref.WeakKeyDictionary()
        )
        self._histories: weakref.WeakKeyDictionary[Module, History] = weakref.WeakKeyDictionary()

    def called(self, scope: Scope, owner: Module) -> None:
        """Before a call of another kind than the last one: what is there by now is a table."""
        carries = not torch.is_grad_enabled() and not owner.training
        if self._runs.get(owner, (None, 0))[0] is not carries:
            self._runs[owner] = carries, 0
            for part, looked in self._look_all(owner):
                for found in looked:
                    if found.past.kind < 0:
                        self._label_table(scope, part, found)

    def returned(self, scope: Scope, owner: Module) -> None:
        """After a model's call."""
        carries, calls = self._runs.get(owner, (False, 0))
        self._runs[owner] = carries, calls + 1
        carriers = self._carriers.get(owner, ())
        if is_due(calls + 1):
            looks = self._look_all(owner)
        else:
            looks = [(part, self._look(part, set())) for part in carriers]
        for part, looked in looks:
            if self._judge(scope, part, looked, carries) and part not in carriers:
                carriers = self._carriers.setdefault(owner, weakref.WeakSet())
                carriers.add(part)

    def _look_all(self, owner: Module) -> list[tuple[Module, list[Found]]]:
        met: set[int] = set()
        return [(part, self._look(part, met)) for part in owner.modules()]

    def _look(self, part: Module, met: set[int]) -> list[Found]:
        kept = [(path, held) for path, held in kept_by(part, met) if not self._is_parameter(held)]
        if not kept:
            return []
        history = self._histories.get(part)
        if history is None:
            history = self._histories[part] = History(self._storages)
        return list(history.look(kept))

    def _is_parameter(self, tensor: torch.Tensor) -> bool:
        return any(known.labels >> PARAMETER & 1 for known in self._storages.known_under(tensor))

    def _judge(self, scope: Scope, part: Module, looked: list[Found], carries: bool) -> bool:
        """Labels what one module keeps; says whether it carries anything from call to call."""
        for found in looked:
            kind = _carried(found, looked) if carries else -1
            if kind >= 0:
                names = self._names(part, found)
                self._histories[part].label(scope, found, kind, *names)
            elif found.change is Change.SAME:
                self._label_table(scope, part, found)
        return any(found.past.kind >= 0 for found in looked)

    def _label_table(self, scope: Scope, part: Module, found: Found) -> None:
        if found.path.count(".") < _DEPTH - 1:  # further away it may be anybody's
            self._storages.label(found.tensor, BUFFER, scope, *self._names(part, found))

    def _names(self, part: Module, found: Found) -> tuple[int, int]:
        name = self._number(self._paths.name_in(part, found.path))
        return name, self._paths.number_of(part)


def kept_by(module: Module, met: set[int]) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields (path, tensor) for a module's buffers and what its plain attributes lead to.

    `met` has the objects that other modules led to, such as a configuration that all share.
    """
    yield from ((name, held) for name, held in module._buffers.items() if held is not None)
    if type(module).__module__.startswith("torch.nn."):
        return
    for name, value in list(vars(module).items()):
        if name not in _OWN and not _leads_nowhere(value) and id(value) not in met:
            if not is_tensor(value):
                met.add(id(value))
            for path, tensor in tensors_in(value, name, MAX_DEPTH - _DEPTH):
                if tensor.grad_fn is None:
                    yield path, tensor


def _leads_nowhere(value: object) -> bool:
    kind = type(value)
    if issubclass(kind, (list, tuple, dict)):
        return len(value) > _LONGEST  # type: ignore[arg-type]
    return issubclass(kind, (int, float, str, NoneType, Module))


def _carried(found: Found, beside: list[Found]) -> int:
    """The label of what is carried from call to call; -1 for anything else."""
    tensor = found.tensor
    if found.past.kind >= 0:
        return found.past.kind
    unchanged = found.change is Change.SAME and not tensor.is_inference()  # these do not tell
    if unchanged or tensor.dim() < 2 or _OTHER.search(found.path):
        return -1
    if _STATE.search(found.path):
        return RECURRENT
    if tensor.dim() > 2 and (_CACHE.search(found.path) or _paired(found, beside)):
        return KV_CACHE
    return -1


def _paired(found: Found, beside: list[Found]) -> bool:
    """Whether another tensor of the same shape went the same way: keys and values do."""
    moved = (Change.GREW, Change.WRITTEN)
    alike = [each for each in beside if each.tensor.shape == found.tensor.shape]
    return found.change in moved and sum(each.change is found.change for each in alike) > 1
