"""What goes into and comes out of a model's outermost call: inputs, outputs, shapes, caches."""

from __future__ import annotations

from typing import Any

import torch

from memprof.record.containers import is_tensor, tensors_in
from memprof.record.facts import Facts
from memprof.record.guard import Guard
from memprof.record.labels.caches import CACHE_NAMES, Caches
from memprof.record.labels.kept import Kept
from memprof.record.labels.parameters import Parameters
from memprof.record.labels.strangers import Strangers
from memprof.record.modules import Paths
from memprof.record.recompute import PHASE, recomputing
from memprof.record.scopes import OpenPhase, Scope, Scopes
from memprof.record.storages import LABEL, Storages

INPUT = LABEL["input"]
OUTPUT = LABEL["output"]
_SEQUENCES = ("input_ids", "decoder_input_ids", "inputs_embeds", "decoder_inputs_embeds")
Module = torch.nn.Module


class RootCalls:
    """Opens a phase at a model's outermost call and labels what it was given when it returns."""

    def __init__(
        self,
        storages: Storages,
        scopes: Scopes,
        parameters: Parameters,
        caches: Caches,
        facts: Facts,
        paths: Paths,
        guard: Guard,
    ) -> None:
        self._storages = storages
        self._scopes = scopes
        self._parameters = parameters
        self._caches = caches
        self._facts = facts
        self._paths = paths
        kept = Kept(storages, paths, facts.number)
        self._strangers = Strangers(storages, facts)
        self._look_before, self._look_after = guard(kept.called), guard(kept.returned)
        self._look_for_strangers = guard(self._strangers.called)
        self.ended = guard(self._strangers.ended)
        self._open: dict[int, list[tuple[Module, OpenPhase]]] = {}

    def called(self, scope: Scope, module: Module) -> None:
        """Before a root call: labels the model and opens `forward` or `recompute`."""
        self._parameters.look_at_owner(scope, module)
        self._look_before(scope, self._paths.owner_of(module))
        grad = torch.is_grad_enabled()
        in_backward = torch._C._current_graph_task_id() != -1
        if grad and not in_backward:
            self._look_for_strangers(scope)
        if recomputing(scope) or (in_backward and not grad) or (not grad and scope.in_user_phase):
            return
        phase = self._scopes.begin(scope, PHASE if in_backward else "forward")
        self._open.setdefault(scope.thread, []).append((module, phase))

    def returned(
        self, scope: Scope, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
    ) -> None:
        """After a root call, also one that raised: labels and closes what `called` opened."""
        self._parameters.look_at_owner(scope, module)
        self._look_after(scope, self._paths.owner_of(module))
        opened = self._open.get(scope.thread, [])
        phase = opened.pop()[1] if opened and opened[-1][0] is module else None
        try:
            if phase is None and recomputing(scope):
                return
            if phase is None or phase.name != PHASE:
                self._label(scope, module, args, kwargs, out, phase)
        finally:
            if phase is not None:
                self._scopes.end(scope, phase)

    def _label(
        self,
        scope: Scope,
        module: Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        out: Any,
        phase: OpenPhase | None,
    ) -> None:
        named = _named(args, kwargs)
        if not torch.is_grad_enabled():
            self._label_caches(scope, named, out, phase)
        for name, value in named.items():
            if name not in CACHE_NAMES:
                for path, tensor in tensors_in(value, name):
                    if not isinstance(tensor, torch.nn.Parameter) and tensor.grad_fn is None:
                        self._storages.label(tensor, INPUT, scope, self._facts.number(path))
        for path, tensor in _outputs(out):
            self._storages.label(tensor, OUTPUT, scope, self._facts.number(path))
        if phase is not None:
            phase.batch, phase.tokens = _shape(named)
            owner = self._paths.owner_of(module)
            self._facts.call(owner, self._paths.path_of(owner), phase.number, named)

    def _label_caches(
        self, scope: Scope, named: dict[str, Any], out: Any, phase: OpenPhase | None
    ) -> None:
        given = self._caches.label_named(scope, named)
        kept = isinstance(out, dict) and self._caches.label_named(scope, out)
        if phase is not None and phase.name == "forward" and (given or kept):
            phase.name = "decode" if given else "prefill"
            self._scopes.turn_at(phase)


def _named(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    positional = {f"args.{place}": value for place, value in enumerate(args)}
    return {**positional, **kwargs}


def _outputs(out: Any) -> list[tuple[str, torch.Tensor]]:
    if is_tensor(out):
        return [("output", out)]
    if isinstance(out, dict):
        chosen: Any = {key: value for key, value in dict.items(out) if key not in CACHE_NAMES}
    else:
        chosen = out if isinstance(out, (tuple, list)) else ()
    return [(f"output.{path}", tensor) for path, tensor in tensors_in(chosen)]


def _shape(named: dict[str, Any]) -> tuple[int, int]:
    """Batch and new tokens of a call; -1 where its inputs do not tell."""
    for name in _SEQUENCES:
        value = named.get(name)
        if is_tensor(value) and value.dim() >= 2:  # type: ignore[union-attr]
            return int(value.shape[0]), int(value.shape[1])  # type: ignore[union-attr]
    first = next((value for value in named.values() if is_tensor(value)), None)
    if first is None or first.dim() == 0:
        return -1, -1
    is_sequence = first.dim() == 2 and not first.is_floating_point()
    return int(first.shape[0]), int(first.shape[1]) if is_sequence else -1
