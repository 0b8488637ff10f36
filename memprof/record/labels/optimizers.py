"""Labels optimizer state by its structure: whatever tensors `optimizer.state` leads to."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.optim import optimizer as torch_optimizer

from memprof.record.autograd import Backward
from memprof.record.containers import storages_of, tensors_in
from memprof.record.facts import Facts
from memprof.record.guard import Guard
from memprof.record.patches import Patches
from memprof.record.scopes import OpenPhase, Scope, Scopes
from memprof.record.storages import LABEL, Storages

STATE = LABEL["optimizer_state"]
PARAMETER = LABEL["parameter"]
Optimizer = torch.optim.Optimizer


class Optimizers:
    """Hooks on every optimizer's step: a phase around it, labels after it."""

    def __init__(
        self, storages: Storages, scopes: Scopes, backward: Backward, facts: Facts, guard: Guard
    ) -> None:
        self._storages = storages
        self._scopes = scopes
        self._backward = backward
        self._facts = facts
        self._guard = guard
        self._number = facts.number
        self._open: dict[int, tuple[OpenPhase, int]] = {}
        self._seen: weakref.WeakSet[Optimizer] = weakref.WeakSet()

    def install(self, patches: Patches) -> None:
        """Registers the hooks; undoing `patches` removes them."""
        before = torch_optimizer.register_optimizer_step_pre_hook(self._before)
        after = torch_optimizer.register_optimizer_step_post_hook(self._after)
        patches.on_undo(before.remove)
        patches.on_undo(after.remove)

    def _before(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if torch.compiler.is_compiling():
            return
        try:
            scope = self._scopes.current()
            self._scopes.settle(scope)
            unfinished = self._open.pop(id(optimizer), None)
            if unfinished is not None:
                self._scopes.end(scope, unfinished[0])
            if optimizer not in self._seen:
                self.label_parameters(scope, optimizer)
            phase = self._scopes.begin(scope, "optimizer")
            self._open[id(optimizer)] = (phase, self._storages.next_id())
        except Exception as error:
            self._guard.note(error, "optimizer step")

    def _after(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if torch.compiler.is_compiling():
            return
        try:
            scope = self._scopes.current()
            phase, first = self._open.pop(id(optimizer), (None, 0))
            if optimizer not in self._seen or self._storages.any_born_since(first):
                self.label_state(scope, optimizer)
            if optimizer not in self._seen:
                self._seen.add(optimizer)
                self._facts.optimizer(optimizer)
            if phase is not None:
                self._scopes.end(scope, phase)
            self._scopes.turn()
        except Exception as error:
            self._guard.note(error, "optimizer state")

    def label_parameters(self, scope: Scope, optimizer: Optimizer) -> None:
        """Labels the parameters that an optimizer updates, and their gradients."""
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                self._storages.label(parameter, PARAMETER, scope)
                self._backward.label_gradient(parameter, scope)

    def label_state(self, scope: Scope, optimizer: Optimizer, *, named: bool = True) -> None:
        """Labels every tensor of the state by the parameter it belongs to and its own key."""
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                self._backward.label_gradient(parameter, scope)
        for parameter, state in list(optimizer.state.items()):
            owner, module = self._known(parameter)
            for path, tensor in tensors_in(state):
                name = self._number(f"{owner}.{path}" if owner else path) if named else 0
                self._storages.label(tensor, STATE, scope, name, module)

    def _known(self, parameter: object) -> tuple[str, int]:
        """A parameter's name and module, as far as they are known."""
        for storage in storages_of(parameter):
            ref = self._storages.live.get(storage._cdata)
            if ref is not None and ref.name:
                return self._facts.text(ref.name), ref.module
        return "", 0
