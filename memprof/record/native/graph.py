"""Labels what autograd holds by address: the walk over the graph is the observer's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from memprof.record.graph import GRADIENT, SAVED, Graph
from memprof.record.scopes import Scope
from memprof.record.storages import Storages


class NativeGraph(Graph):
    """As `Graph`; what the observer does not know is labelled here."""

    def __init__(self, native: Any, storages: Storages, number: Callable[[str], int]) -> None:
        super().__init__(storages, number)
        self._native = native

    def label_gradients(self, leaves: Any, scope: Scope) -> None:
        """Labels the gradients of what `label_kept` returned."""
        found, others = leaves
        if found is not None:
            others = others + self._native.label_gradients(found, GRADIENT)
        super().label_gradients(others, scope)

    def label_kept(self, roots: Iterable[Any]) -> Any:
        """Labels what the graph under some tensors or gradient edges keeps.

        Returns:
            the leaves that it reaches: the observer's, and a list of others.
        """
        if torch._C._functorch.peek_interpreter_stack() is not None:
            return None, super().label_kept(roots)
        tensors = [root for root in roots if isinstance(root, torch.Tensor)]
        edges = [root for root in roots if not isinstance(root, torch.Tensor)]
        leaves, strangers = self._native.label_kept(tensors, SAVED, self._number)
        for tensor, name in strangers:
            self._label_saved(tensor, name, True)
        return leaves, super().label_kept(edges) if edges else []
