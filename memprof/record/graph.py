"""What the autograd graph keeps for backward, and the gradients that it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from memprof.record.containers import plain_parts, storages_of
from memprof.record.scopes import Scope
from memprof.record.storages import LABEL, Storages

SAVED = LABEL["saved_for_backward"]
GRADIENT = LABEL["gradient"]


class Graph:
    """Labels what autograd holds.

    Args:
        number: numbers the name of a kind of node.
    """

    def __init__(self, storages: Storages, number: Callable[[str], int]) -> None:
        self._storages = storages
        self._number = number
        self._fields: dict[type, tuple[tuple[str, ...], int, bool]] = {}

    def label_gradient(self, leaf: torch.Tensor, scope: Scope) -> None:
        """Labels a leaf's gradient with the leaf's own name."""
        gradient = leaf.grad
        if gradient is not None:
            name, module = self._storages.name_of(leaf) if _is_whole(gradient) else (0, 0)
            self._storages.label(gradient, GRADIENT, scope, name, module)

    def label_gradients(self, leaves: Any, scope: Scope) -> None:
        """Labels the gradients of what `label_kept` returned."""
        for leaf in leaves:
            self.label_gradient(leaf, scope)

    def label_kept(self, roots: Iterable[Any]) -> Any:
        """Labels what the graph under some tensors or gradient edges keeps.

        Returns:
            the leaves that it reaches.
        """
        leaves: list[torch.Tensor] = []
        transformed = torch._C._functorch.peek_interpreter_stack() is not None
        for node in nodes_under(roots):
            fields, name, is_leaf = self._fields.get(type(node)) or self._learn(node)
            if is_leaf:
                leaves.append(node.variable)
            for field in fields:
                for saved in kept_by(node, field):
                    self._label_saved(saved, name, transformed)
        return leaves

    def _label_saved(self, saved: torch.Tensor, name: int, transformed: bool) -> None:
        if type(saved) is torch.Tensor and not transformed:
            if not saved.is_meta and saved.layout is torch.strided:
                self._storages.label_key(saved.untyped_storage()._cdata, SAVED, name)
            return
        for storage in storages_of(saved):
            self._storages.label_key(storage._cdata, SAVED, name)

    def _learn(self, node: Any) -> tuple[tuple[str, ...], int, bool]:
        fields = tuple(name for name in dir(node) if name.startswith("_raw_saved_"))
        name = node.name()
        learned = fields, self._number(name), name == "torch::autograd::AccumulateGrad"
        self._fields[type(node)] = learned
        return learned


def _is_whole(gradient: torch.Tensor) -> bool:
    """Whether a gradient has its storage to itself, and is no view of one for many parameters."""
    return not any(
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
