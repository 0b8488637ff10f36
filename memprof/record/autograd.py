"""Follows backward passes: what the graph kept for them, and the gradients they leave.

The graph is read through `_raw_saved_*`, which hands out what is kept as it is. `_saved_*` would
unpack it: recompute a checkpointed block, or copy back what `save_on_cpu` moved away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from memprof.record.containers import plain_parts, storages_of
from memprof.record.guard import Guard
from memprof.record.patches import Patches
from memprof.record.scopes import Scope, Scopes
from memprof.record.storages import LABEL, StorageRef, Storages

SAVED = LABEL["saved_for_backward"]
GRADIENT = LABEL["gradient"]
is_compiling = torch.compiler.is_compiling


class Backward:
    """Wraps the one place of PyTorch through which every backward pass goes."""

    def __init__(
        self, storages: Storages, scopes: Scopes, guard: Guard, number: Callable[[str], int]
    ) -> None:
        self._storages = storages
        self._scopes = scopes
        self._guard = guard
        self._number = number
        self._fields: dict[type, tuple[tuple[str, ...], int, bool]] = {}

    def install(self, patches: Patches) -> None:
        """Wraps the engine's entry; undoing `patches` restores it."""
        engine = torch.autograd.graph._engine_run_backward
        wrapped = self._wrap(engine)
        patches.replace(torch.autograd.graph, "_engine_run_backward", lambda _: wrapped)
        patches.replace(torch.autograd, "_engine_run_backward", lambda _: wrapped)

    def _wrap(self, engine: Callable[..., Any]) -> Callable[..., Any]:
        def run_backward(roots: Any, *args: Any, **kwargs: Any) -> Any:
            if is_compiling():
                return engine(roots, *args, **kwargs)
            begun = self._begin(roots)
            result = None
            try:
                result = engine(roots, *args, **kwargs)
                return result
            finally:
                if begun is not None:
                    self._end(*begun, result)

        return run_backward

    def _begin(self, roots: Any) -> tuple[Scope, Any, list[torch.Tensor]] | None:
        try:
            scope = self._scopes.current()
            phase = self._scopes.begin(scope, "backward")
            leaves: list[torch.Tensor] = []
            begun = scope, phase, leaves
        except Exception as error:
            self._guard.note(error, "backward")
            return None
        try:
            self._label_saved(roots, leaves)
        except Exception as error:
            self._guard.note(error, "saved tensors")
        return begun

    def _end(self, scope: Scope, phase: Any, leaves: list[torch.Tensor], result: Any) -> None:
        try:
            self._scopes.end(scope, phase)
            for leaf in leaves:  # also where nothing was born: gradients can be parts of a bucket
                self.label_gradient(leaf, scope)
            for gradient in result or ():
                self._storages.label(gradient, GRADIENT, scope)
        except Exception as error:
            self._guard.note(error, "gradients")

    def label_gradient(self, leaf: torch.Tensor, scope: Scope) -> None:
        """Labels a leaf's gradient with the leaf's own name."""
        gradient = leaf.grad
        if gradient is None:
            return
        named = None if _shares_storage(gradient) else self.known(leaf)
        name, module = (named.name, named.module) if named else (0, 0)
        self._storages.label(gradient, GRADIENT, scope, name, module)

    def known(self, tensor: torch.Tensor) -> StorageRef | None:
        """What is known of a tensor's storage."""
        live = self._storages.live
        return next((ref for s in storages_of(tensor) if (ref := live.get(s._cdata))), None)

    def label_kept(self, tensors: list[torch.Tensor]) -> None:
        """Labels what the graphs under tensors keep, for a backward that is yet to come."""
        self._label_saved(tensors, [])

    def _label_saved(self, roots: Iterable[Any], leaves: list[torch.Tensor]) -> None:
        """Labels what the graph under `roots` keeps; adds the leaves that it reaches."""
        label_key = self._storages.label_key
        transformed = torch._C._functorch.peek_interpreter_stack() is not None
        for node in nodes_under(roots):
            fields, name, is_leaf = self._fields.get(type(node)) or self._learn(node)
            if is_leaf:
                leaves.append(node.variable)
            for field in fields:
                for saved in kept_by(node, field):
                    if type(saved) is torch.Tensor and not transformed:
                        if not saved.is_meta and saved.layout is torch.strided:
                            label_key(saved.untyped_storage()._cdata, SAVED, name)
                    else:
                        for storage in storages_of(saved):
                            label_key(storage._cdata, SAVED, name)

    def _learn(self, node: Any) -> tuple[tuple[str, ...], int, bool]:
        fields = tuple(name for name in dir(node) if name.startswith("_raw_saved_"))
        name = node.name()
        learned = fields, self._number(name), name == "torch::autograd::AccumulateGrad"
        self._fields[type(node)] = learned
        return learned


def _shares_storage(gradient: torch.Tensor) -> bool:
    """Whether a gradient is a part of a larger storage, as those of many parameters can be."""
    return any(
        part._is_view() and part.nbytes < part.untyped_storage().nbytes()
        for part in plain_parts(gradient)
    )


def nodes_under(roots: Iterable[Any]) -> Iterator[Any]:
    """Yields every node of the autograd graph under some tensors or gradient edges, once."""
    waiting = [_node_of(root) for root in roots]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting.extend([following for following, _ in node.next_functions])


def _node_of(root: Any) -> Any:
    if isinstance(root, torch.Tensor):
        return root.grad_fn
    return getattr(root, "node", None)


def kept_by(node: Any, field: str) -> Iterator[torch.Tensor]:
    """Yields the tensors that one field of a node keeps, hooked ones left alone."""
    try:
        value = getattr(node, field)
    except RuntimeError:  # freed by an earlier backward
        return
    for saved in value if isinstance(value, (tuple, list)) else (value,):
        if saved is not None and saved.unpack_hook is None:
            kept = saved.data  # makes a tensor each time it is read
            if kept is not None:
                yield kept
