"""Labels what `fully_shard` makes of weights: full copies for a moment, gradients in shards."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from types import ModuleType
from typing import Any, Final

from memprof.record.facts import Facts
from memprof.record.graph import GRADIENT
from memprof.record.guard import Guard
from memprof.record.patches import Patches
from memprof.record.scopes import Scopes
from memprof.record.storages import LABEL, Storages

PARAM_MODULE: Final = "torch.distributed.fsdp._fully_shard._fsdp_param"
GROUP_MODULE: Final = "torch.distributed.fsdp._fully_shard._fsdp_param_group"
GATHERED = LABEL["gathered"]


class ShardedWeights:
    """Wraps the calls of `fully_shard` after which full copies and gradients are in place.

    A full copy is an `nn.Parameter` of its module while it lasts, so only `fully_shard` knows it
    from a weight; and the gradients of shards are set while backward runs, on parameters that
    its graph does not reach.
    """

    def __init__(
        self,
        storages: Storages,
        scopes: Scopes,
        facts: Facts,
        guard: Guard,
        patches: Patches,
    ) -> None:
        self._storages = storages
        self._scopes = scopes
        self._facts = facts
        self._guard = guard
        self._patches = patches

    def watched(self) -> dict[str, Callable[[ModuleType], None]]:
        """The modules of PyTorch's to be patched when the program imports them."""
        return {
            PARAM_MODULE: self._guard(self._install_parameters),
            GROUP_MODULE: self._guard(self._install_groups),
        }

    def _install_parameters(self, module: ModuleType) -> None:
        patch = self._patches.replace
        patch(module.FSDPParam, "init_unsharded_param", self._after(self._label_gathered))
        patch(module.FSDPParam, "to_accumulated_grad_if_needed", self._after(self._label_kept))

    def _install_groups(self, module: ModuleType) -> None:
        self._patches.replace(module, "foreach_reduce", self._wrap_reduce)

    def _after(self, label: Callable[[Any], None]) -> Callable[..., Any]:
        def wrap(method: Callable[..., Any]) -> Callable[..., Any]:
            def called(parameter: Any, *args: Any, **kwargs: Any) -> Any:
                result = method(parameter, *args, **kwargs)
                try:
                    label(parameter)
                except Exception as error:
                    self._guard.note(error, "fully_shard")
                return result

            return called

        return wrap

    def _label_gathered(self, parameter: Any) -> None:
        """Labels the full copy of a parameter; freed and restored, the storage keeps its label."""
        scope = self._scopes.current()
        name, module = self._name_of(parameter.sharded_param)
        number = self._facts.number(f"{name}.gathered") if name else 0
        for tensor in (*parameter.all_gather_outputs, *parameter._unsharded_inner_tensors):
            self._storages.label(tensor, GATHERED, scope, number, module)

    def _label_kept(self, parameter: Any) -> None:
        """Labels a full gradient that waits in another dtype for a later reduction."""
        kept = parameter.unsharded_accumulated_grad
        if kept is not None:
            name, module = self._name_of(parameter.sharded_param)
            number = self._facts.number(name)
            self._storages.label(kept, GRADIENT, self._scopes.current(), number, module)

    def _wrap_reduce(self, reduce: Callable[..., Any]) -> Callable[..., Any]:
        def foreach_reduce(parameters: Any, gradients: Any, *args: Any, **kwargs: Any) -> Any:
            self._label_full(parameters, gradients)
            result = reduce(parameters, gradients, *args, **kwargs)
            self._label_reduced(parameters)
            return result

        return foreach_reduce

    def _label_full(self, parameters: Any, gradients: Any) -> None:
        """Labels the full gradients, which go now."""
        try:
            scope = self._scopes.current()
            for parameter, gradient in zip(parameters, gradients, strict=True):
                name, module = self._name_of(parameter.sharded_param)
                self._storages.label(gradient, GRADIENT, scope, self._facts.number(name), module)
        except Exception as error:
            self._guard.note(error, "fully_shard gradients")

    def _label_reduced(self, parameters: Any) -> None:
        """Labels the gradients of the shards: parts of one storage for the whole group."""
        try:
            scope = self._scopes.current()
            names = [self._name_of(parameter.sharded_param)[0] for parameter in parameters]
            number = self._facts.number(_common_name(names))
            for parameter in parameters:
                self._storages.label(parameter.sharded_param.grad, GRADIENT, scope, number)
        except Exception as error:
            self._guard.note(error, "fully_shard gradients")

    def _name_of(self, sharded: Any) -> tuple[str, int]:
        name, module = self._storages.name_of(sharded)
        return self._facts.text(name), module


def _common_name(names: list[str]) -> str:
    """``layers.0.*`` for several parameters of one module."""
    split = [name.split(".") for name in names]
    if len(split) < 2:
        return "".join(names)
    alike = takewhile(lambda parts: len(set(parts)) == 1, zip(*split, strict=False))
    return ".".join([*(parts[0] for parts in alike), "*"])
