"""Follows backward passes: what the graph kept for them, and the gradients they leave.

The graph is read through `_raw_saved_*`, which hands out what is kept as it is. `_saved_*` would
unpack it: recompute a checkpointed block, or copy back what `save_on_cpu` moved away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from memprof.record.graph import GRADIENT, Graph
from memprof.record.guard import Guard
from memprof.record.patches import Patches
from memprof.record.scopes import Scope, Scopes
from memprof.record.storages import Storages

is_compiling = torch.compiler.is_compiling


class Backward:
    """Wraps the one place of PyTorch through which every backward pass goes."""

    def __init__(self, storages: Storages, scopes: Scopes, graph: Graph, guard: Guard) -> None:
        self._storages = storages
        self._scopes = scopes
        self._graph = graph
        self._guard = guard
        self.raised: Callable[[BaseException], None] = lambda error: None

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
            if self._scopes.paused:
                try:
                    return engine(roots, *args, **kwargs)
                finally:
                    self._scopes.backward_ended()
            begun = self._begin(roots)
            result = None
            try:
                result = engine(roots, *args, **kwargs)
                return result
            except BaseException as error:
                self.raised(error)
                raise
            finally:
                if begun is not None:
                    self._end(*begun, result)

        return run_backward

    def _begin(self, roots: Any) -> tuple[Scope, Any, Any] | None:
        try:
            scope = self._scopes.current()
            phase = self._scopes.begin(scope, "backward")
        except Exception as error:
            self._guard.note(error, "backward")
            return None
        try:
            leaves = self._graph.label_kept(roots)
        except Exception as error:
            self._guard.note(error, "saved tensors")
            leaves = None
        return scope, phase, leaves

    def _end(self, scope: Scope, phase: Any, leaves: Any, result: Any) -> None:
        try:
            self._scopes.end(scope, phase)
            if leaves is not None:  # also where nothing was born: a bucket may hold gradients
                self._graph.label_gradients(leaves, scope)
            for gradient in result or ():
                self._storages.label(gradient, GRADIENT, scope)
        except Exception as error:
            self._guard.note(error, "gradients")
