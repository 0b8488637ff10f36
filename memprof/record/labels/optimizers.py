"""Labels optimizer state by its structure: whatever tensors `optimizer.state` leads to."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import optimizer as torch_optimizer

from memprof.record.containers import tensors_in
from memprof.record.facts import Facts
from memprof.record.graph import Graph
from memprof.record.guard import Guard
from memprof.record.patches import Patches
from memprof.record.scopes import OpenPhase, Scope, Scopes
from memprof.record.storages import LABEL, Storages

STATE = LABEL["optimizer_state"]
PARAMETER = LABEL["parameter"]
Optimizer = torch.optim.Optimizer


@dataclass(slots=True)
class Seen:
    """An optimizer's state when it was last labelled.

    Attributes:
        held: ids of the allocations under its tensors.
        settled: the change that a step made which brought no others.
    """

    held: tuple[tuple[int, ...], ...] = ()
    settled: object = None


class Optimizers:
    """Hooks on every optimizer's step: a phase around it, labels after it."""

    def __init__(
        self, storages: Storages, scopes: Scopes, graph: Graph, facts: Facts, guard: Guard
    ) -> None:
        self._storages = storages
        self._scopes = scopes
        self._graph = graph
        self._facts = facts
        self._guard = guard
        self._number = facts.number
        self._open: dict[int, tuple[OpenPhase, Any]] = {}
        self._seen: weakref.WeakKeyDictionary[Optimizer, Seen] = weakref.WeakKeyDictionary()

    def install(self, patches: Patches) -> None:
        """Registers the hooks; undoing `patches` removes them."""
        before = torch_optimizer.register_optimizer_step_pre_hook(self._before)
        after = torch_optimizer.register_optimizer_step_post_hook(self._after)
        patches.on_undo(before.remove)
        patches.on_undo(after.remove)

    def _before(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if torch.compiler.is_compiling() or self._scopes.paused:
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
            self._open[id(optimizer)] = (phase, self._storages.mark())
        except Exception as error:
            self._guard.note(error, "optimizer step")

    def _after(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if torch.compiler.is_compiling():
            return
        if self._scopes.paused:
            self._scopes.turn()
            return
        try:
            scope = self._scopes.current()
            phase, mark = self._open.pop(id(optimizer), (None, 0))
            change = self._storages.change_since(mark)
            if optimizer not in self._seen:
                self._seen[optimizer] = Seen()
                self._label(scope, optimizer, change)
                self._facts.optimizer(optimizer)
            elif change is not None and change != self._seen[optimizer].settled:
                self._label(scope, optimizer, change)
            if phase is not None:
                self._scopes.end(scope, phase)
            self._scopes.turn()
        except Exception as error:
            self._guard.note(error, "optimizer state")

    def _label(self, scope: Scope, optimizer: Optimizer, change: object) -> None:
        """Labels the state; a step that left it where it was need not be looked at again."""
        self.label_state(scope, optimizer)
        held = tuple(
            tuple(known.allocation for known in self._storages.known_under(tensor))
            for state in list(optimizer.state.values())
            for _, tensor in tensors_in(state)
        )
        seen = self._seen[optimizer]
        seen.settled = change if held == seen.held else None
        seen.held = held

    def label_parameters(self, scope: Scope, optimizer: Optimizer) -> None:
        """Labels the parameters that an optimizer updates, and their gradients."""
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                self._storages.label(parameter, PARAMETER, scope)
                self._graph.label_gradient(parameter, scope)

    def label_state(self, scope: Scope, optimizer: Optimizer, *, named: bool = True) -> None:
        """Labels every tensor of the state by the parameter it belongs to and its own key."""
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                self._graph.label_gradient(parameter, scope)
        for parameter, state in list(optimizer.state.items()):
            owner, module = self._known(parameter)
            for path, tensor in tensors_in(state):
                name = self._number(f"{owner}.{path}" if owner else path) if named else 0
                self._storages.label(tensor, STATE, scope, name, module)

    def _known(self, parameter: object) -> tuple[str, int]:
        """A parameter's name and module, as far as they are known."""
        name, module = self._storages.name_of(parameter)
        return (self._facts.text(name), module) if name else ("", 0)
