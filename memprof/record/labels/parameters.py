"""Labels parameters and buffers: when they are registered, and by full name at a model's call."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch.nn.modules import module as torch_module

from memprof.record.containers import attached_to
from memprof.record.facts import Facts
from memprof.record.guard import Guard
from memprof.record.labels.history import is_due
from memprof.record.modules import Paths
from memprof.record.patches import Patches
from memprof.record.scopes import Scope, Scopes
from memprof.record.storages import LABEL, Storages

PARAMETER = LABEL["parameter"]
BUFFER = LABEL["buffer"]
GRADIENT = LABEL["gradient"]
Module = torch.nn.Module


class Parameters:
    """Labels what models hold, again when something may have changed and ever more rarely."""

    def __init__(
        self, storages: Storages, scopes: Scopes, paths: Paths, facts: Facts, guard: Guard
    ) -> None:
        self._storages = storages
        self._scopes = scopes
        self._paths = paths
        self._facts = facts
        self._guard = guard
        self._looks: weakref.WeakKeyDictionary[Module, Iterator[int]] = weakref.WeakKeyDictionary()
        self._number = paths.number

    def install(self, patches: Patches) -> None:
        """Registers the hooks; undoing `patches` removes them."""
        for register, kind in (
            (torch_module.register_module_parameter_registration_hook, PARAMETER),
            (torch_module.register_module_buffer_registration_hook, BUFFER),
        ):
            patches.on_undo(register(self._registration_hook(kind)).remove)
        patches.replace(Module, "_apply", self._wrap_apply)
        patches.replace(torch.nn.Parameter, "__new__", self._wrap_new)

    def _registration_hook(self, kind: int) -> Any:
        def registered(module: Module, name: str, tensor: torch.Tensor | None) -> None:
            if tensor is None or torch.compiler.is_compiling() or self._scopes.paused:
                return
            try:
                self._looks.clear()
                self._storages.label(tensor, kind, self._scopes.current())
            except Exception as error:
                self._guard.note(error, "parameter registration")

        return registered

    def _wrap_apply(self, apply: Any) -> Any:
        """Labels what a module holds after a conversion, which gives tensors other storages."""

        def _apply(module: Module, *args: Any, **kwargs: Any) -> Any:
            result = apply(module, *args, **kwargs)
            if self._scopes.paused:
                return result
            self._looks.clear()
            try:
                self.label_unnamed(self._scopes.current(), module)
            except Exception as error:
                self._guard.note(error, "converted module")
            return result

        return _apply

    def _wrap_new(self, new: Any) -> Any:
        """Labels every parameter that is made: some reach a module past its registration."""

        def make(*args: Any, **kwargs: Any) -> Any:
            parameter = new(*args, **kwargs)
            if not torch.compiler.is_compiling() and not self._scopes.paused:
                try:
                    scope = self._scopes.current()
                    self._storages.label(
                        parameter, PARAMETER, scope, self._awaited(scope, parameter)
                    )
                except Exception as error:
                    self._guard.note(error, "new parameter")
            return parameter

        return staticmethod(make)

    def _awaited(self, scope: Scope, parameter: torch.Tensor) -> int:
        """The name of the parameter on `meta` that a module being called has in its place."""
        if not scope.calls:
            return 0
        module: Any = scope.calls[-1][0]
        for name, placeholder in module.named_parameters():
            if placeholder.is_meta and placeholder.shape == parameter.shape:
                return self._number(self._paths.name_in(module, name))
        return 0

    def look_at_owner(self, scope: Scope, module: Module) -> None:
        """Labels what the owner holds, ever more rarely: nothing tells of `weight.data = ...`."""
        owner = self._paths.owner_of(module)
        looks = self._looks.get(owner)
        if looks is None:
            looks = self._looks[owner] = itertools.count(1)
        if is_due(next(looks)):
            self.label_owner(scope, owner)

    def label_owner(self, scope: Scope, owner: Module) -> None:
        """Labels everything that an outermost module holds, with full names."""
        for part in owner.modules():
            self._adopt_children(part)
        for part in owner.modules():
            self.label_module(scope, part)
        self._facts.model(owner, self._paths.path_of(owner))

    def _adopt_children(self, module: Module) -> None:
        for name, child in module._modules.items():
            self._paths.adopt(module, name, child)

    def label_unnamed(self, scope: Scope, module: Module) -> None:
        """Labels what one module holds itself; the names follow when its owner is called."""
        for kind, held in ((PARAMETER, module._parameters), (BUFFER, module._buffers)):
            for tensor in list(held.values()):
                if tensor is not None:
                    self._label(scope, kind, tensor, "")

    def label_module(self, scope: Scope, module: Module) -> None:
        """Labels what one module holds itself, with full names."""
        path = self._paths.number_of(module)
        for kind, held in ((PARAMETER, module._parameters), (BUFFER, module._buffers)):
            for name, tensor in list(held.items()):
                if tensor is not None:
                    self._label(scope, kind, tensor, self._paths.name_in(module, name), path)

    def _label(
        self, scope: Scope, kind: int, tensor: torch.Tensor, name: str, module: int = 0
    ) -> None:
        """Labels one tensor with whatever is attached to it."""
        self._storages.label(tensor, kind, scope, self._number(name), module)
        for path, part in attached_to(tensor):
            part_kind = GRADIENT if "grad" in path else kind
            part_name = self._number(f"{name}.{path}" if name else "")
            self._storages.label(part, part_kind, scope, part_name, module)
