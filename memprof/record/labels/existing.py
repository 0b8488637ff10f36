"""Finds what existed before the recording began: tensors, models, optimizers, caches."""

from __future__ import annotations

import gc
import sys
from typing import Any

import torch

from memprof.record.containers import storages_of
from memprof.record.graph import Graph
from memprof.record.labels.caches import MODULE as CACHE_MODULE
from memprof.record.labels.caches import Caches
from memprof.record.labels.optimizers import Optimizers
from memprof.record.labels.parameters import Parameters
from memprof.record.modules import Paths
from memprof.record.scopes import Scope
from memprof.record.storages import Storages


class Existing:
    """Scans the garbage collector's objects once, by their types alone."""

    def __init__(self) -> None:
        self.tensors: list[torch.Tensor] = []
        self.modules: list[torch.nn.Module] = []
        self.optimizers: list[torch.optim.Optimizer] = []
        self.caches: list[Any] = []
        cache_utils = sys.modules.get(CACHE_MODULE)
        cache = cache_utils.Cache if cache_utils is not None else ()
        for found in gc.get_objects():
            kind = type(found)
            if issubclass(kind, torch.Tensor):
                self.tensors.append(found)
            elif issubclass(kind, torch.nn.Module):
                self.modules.append(found)
            elif issubclass(kind, torch.optim.Optimizer):
                self.optimizers.append(found)
            elif issubclass(kind, cache):
                self.caches.append(found)

    def note_births(self, storages: Storages, scope: Scope, *, found: bool = False) -> None:
        """Notes unknown storages as from before the recording, or as `found` in the midst of it."""
        for tensor in self.tensors:
            for storage in storages_of(tensor):
                storages.existed(storage, tensor, scope, found=found)

    def note_labels(
        self,
        scope: Scope,
        storages: Storages,
        paths: Paths,
        parameters: Parameters,
        graph: Graph,
        optimizers: Optimizers,
        caches: Caches,
    ) -> None:
        """Labels what the models, optimizers and caches hold."""
        for module in self.modules:
            for name, child in module._modules.items():
                paths.adopt(module, name, child)
        for module in self.modules:
            parameters.label_unnamed(scope, module)
        for tensor in self.tensors:
            if tensor.is_leaf and tensor.grad is not None:
                graph.label_gradient(tensor, scope)
        graph.label_kept([tensor for tensor in self.tensors if tensor.grad_fn is not None])
        for optimizer in self.optimizers:
            optimizers.label_parameters(scope, optimizer)
            optimizers.label_state(scope, optimizer, named=False)
        for cache in self.caches:
            caches.label_object(scope, cache)
