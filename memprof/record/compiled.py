"""Sees what compiled graphs return, and says what cannot be seen inside them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

from memprof.record.containers import tensors_in
from memprof.record.guard import Guard
from memprof.record.journal import Journal, now_ns
from memprof.record.patches import Patches
from memprof.record.scopes import Scopes
from memprof.record.storages import COMPILED, OPERATION, Storages
from memprof.record.workspaces import measured, profiler_is_free

MODULE = "torch._inductor.output_code"


class CompiledGraphs:
    """Wraps the call of inductor's compiled graphs: their results are noted as allocations.

    Memory that a graph takes and gives back inside itself is measured at its first run, as an
    operator's workspace is.
    """

    def __init__(
        self, storages: Storages, scopes: Scopes, journal: Journal, guard: Guard, patches: Patches
    ) -> None:
        self._storages = storages
        self._scopes = scopes
        self._journal = journal
        self._guard = guard
        self._patches = patches
        self._rows = journal.tables["workspaces"].add
        self._extra: dict[int, int] = {}

    def install(self, module: ModuleType) -> None:
        """Wraps the class of compiled graphs in inductor's module `output_code`."""
        self._patches.replace(module.CompiledFxGraph, "__call__", self._wrap)

    def _wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def run_compiled(graph: Any, inputs: Any) -> Any:
            if self._scopes.paused:
                return call(graph, inputs)
            if id(graph) not in self._extra and profiler_is_free():
                result, extra = measured(lambda: call(graph, inputs))
                self._extra[id(graph)] = extra
            else:
                result = call(graph, inputs)
            try:
                self._note(graph, result)
            except Exception as error:
                self._guard.note(error, "compiled graph")
            return result

        return run_compiled

    def _note(self, graph: Any, result: Any) -> None:
        scope = self._scopes.current()
        op = self._journal.strings.number("compiled graph")
        origin = OPERATION if torch._C._current_graph_task_id() != -1 else COMPILED
        for _, tensor in tensors_in(result):
            if tensor.layout is torch.strided and not tensor.is_meta:
                self._storages.born(tensor, op, scope, origin)
        extra = self._extra.get(id(graph), 0)
        if extra:
            cpu = self._journal.strings.number("cpu")
            self._rows((now_ns(), extra, op, scope.module, scope.phase, cpu))
        self._journal.warn(
            "compiled",
            "compiled graphs ran: what they return is seen, memory that they take and give back "
            "inside is measured at their first run only",
        )
