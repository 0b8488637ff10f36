"""Puts into the trace what the rules say that kernels take beside their results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from memprof.predict.gpu import Gpu
from memprof.predict.rules import Call, Held, Rule
from memprof.record import session as recording
from memprof.record.storages import LABEL, in_backward

_TEMPORARY = LABEL["tag:temporary"]


class KernelWorkspaces:
    """Applies rules to the operators that run on the target.

    Args:
        gpu: the target; None for a host, whose kernels have no rules.
        rules: those to apply.
    """

    def __init__(self, gpu: Gpu | None, rules: Iterable[Rule]) -> None:
        self._gpu = gpu
        self._rules: dict[Any, list[Rule]] = {}
        for rule in rules if gpu is not None else ():
            for func in rule.funcs:
                self._rules.setdefault(func, []).append(rule)
        self._lasting: dict[tuple[str, torch.device], torch.Tensor] = {}

    def take(self, mode: FakeTensorMode, func: Any, args: Any) -> list[torch.Tensor]:
        """What the operator takes while it runs; to be held until it has returned."""
        rules = self._rules.get(func)
        if rules is None or self._gpu is None or args[0].device.type != "cuda":
            return []
        device = args[0].device
        call = Call(func, args, self._gpu, in_backward() != -1)
        held = [held for rule in rules for held in rule.held(call)]
        for each in held:
            if each.key and (each.key, device) not in self._lasting:
                self._lasting[each.key, device] = _made(mode, each, device)
        return [_made(mode, each, device) for each in held if not each.key]

    def close(self) -> None:
        """Lets go of what stays, as the end of a process does."""
        self._lasting.clear()


def _made(mode: FakeTensorMode, held: Held, device: torch.device) -> torch.Tensor:
    with mode:
        tensor = torch.empty(held.nbytes, dtype=torch.uint8, device=device)
    storage: Any = tensor.untyped_storage()
    storage._fake_device = tensor.device
    session = recording.active()
    if session is not None:
        number, scope = session.journal.strings.number(held.what), session.scopes.current()
        session.storages.born(tensor, number, scope)
        session.storages.label(tensor, _TEMPORARY, scope, number)
    return tensor
