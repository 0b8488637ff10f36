"""Facts about the program as a whole, for the estimates: models, calls, optimizers, caches."""

from __future__ import annotations

import itertools
import json
import weakref
from collections.abc import Mapping
from typing import Any

import torch

from memprof.record.containers import is_tensor, storages_of
from memprof.record.journal import Journal

_OPTIONS = (bool, int, float, str, type(None))


class Facts:
    """Notes each fact once."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._known: set[str] = set()
        self._calls: set[tuple[object, ...]] = set()
        self._next_model = itertools.count(1)
        self._models: dict[int, tuple[weakref.ref[torch.nn.Module], int]] = {}
        self.number = journal.strings.number

    def text(self, number: int) -> str:
        """The string with a number."""
        return self._journal.strings[number]

    def _once(self, kind: str, value: Mapping[str, Any]) -> None:
        mark = f"{kind} {json.dumps(value, sort_keys=True)}"
        if mark not in self._known:
            self._known.add(mark)
            self._journal.fact(kind, value)

    def model(self, model: torch.nn.Module, path: str) -> None:
        """Notes what an outermost module holds and how it is configured; nothing if it is empty."""
        if not any(True for _ in itertools.chain(model.parameters(), model.buffers())):
            return
        config: Any = vars(model).get("config")
        storages: dict[int, int] = {}
        self._once(
            "model",
            {
                "model": self._number_of(model),
                "root": path,
                "class": f"{type(model).__module__}.{type(model).__qualname__}",
                "config": _plain(config.to_dict()) if hasattr(config, "to_dict") else None,
                "attention": getattr(config, "_attn_implementation", None),
                "gradient_checkpointing": any(
                    vars(module).get("gradient_checkpointing") is True for module in model.modules()
                ),
                "parameters": [_held(*item, storages) for item in _parameters(model)],
                "buffers": [_held(*item, storages) for item in model.named_buffers()],
            },
        )

    def _number_of(self, model: torch.nn.Module) -> int:
        """Tells models apart that have one name, and knows one again under another name."""
        known = self._models.get(id(model))
        if known is None or known[0]() is not model:
            known = self._models[id(model)] = (weakref.ref(model), next(self._next_model))
        return known[1]

    def call(self, model: torch.nn.Module, path: str, phase: int, named: Mapping[str, Any]) -> None:
        """Notes the style of a model's call: autograd, autocast, the shapes of its inputs."""
        style = {
            "model": self._number_of(model),
            "root": path,
            "grad": torch.is_grad_enabled(),
            "training": model.training,
            "autocast": _autocast(named),
        }
        tensors = {name: value for name, value in named.items() if is_tensor(value)}
        batches = ((name, value.shape[:1]) for name, value in tensors.items())
        key = (*style.values(), *batches)
        if key not in self._calls:
            self._calls.add(key)
            inputs = {name: _described(tensor) for name, tensor in tensors.items()}
            self._journal.fact("call", {**style, "phase": phase, "inputs": inputs})

    def optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Notes an optimizer's class, its options and the parameters it updates."""
        groups = [
            {
                "options": {k: _plain(v) for k, v in group.items() if k != "params"},
                "parameters": [
                    {**_described(parameter), "gradient": parameter.grad is not None}
                    for parameter in group["params"]
                ],
            }
            for group in optimizer.param_groups
        ]
        kind = type(optimizer)
        self._journal.fact(
            "optimizer", {"class": kind.__name__, "module": kind.__module__, "groups": groups}
        )

    def cache(self, cache: Any) -> None:
        """Notes what kind of cache a model is called with."""
        kinds = sorted({type(layer).__name__ for layer in cache.layers})
        lengths = [getattr(layer, "max_cache_len", None) for layer in cache.layers]
        known = [length for length in lengths if isinstance(length, int)]
        self._once(
            "cache",
            {
                "class": type(cache).__name__,
                "layers": len(cache.layers),
                "layer_class": ", ".join(kinds),
                "max_length": max(known, default=None),
            },
        )


def _parameters(model: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    return list(model.named_parameters(remove_duplicate=False))


def _held(name: str, tensor: torch.Tensor, storages: dict[int, int]) -> dict[str, Any]:
    keys = [storage._cdata for storage in storages_of(tensor)]
    number = storages.setdefault(keys[0], len(storages)) if keys else -1
    return {
        "name": name,
        **_described(tensor),
        "requires_grad": tensor.requires_grad,
        "storage": number,
    }


def _described(tensor: Any) -> dict[str, Any]:
    """Dtype, device and shape; of a DTensor, of the part that this process has."""
    tensor = getattr(tensor, "_local_tensor", tensor)
    return {
        "shape": list(tensor.shape),
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "device": str(tensor.device),
    }


def _autocast(named: Mapping[str, Any]) -> str | None:
    first = next((value for value in named.values() if is_tensor(value)), None)
    device = first.device.type if first is not None else "cpu"
    if not torch.is_autocast_enabled(device):
        return None
    return str(torch.get_autocast_dtype(device)).removeprefix("torch.")


def _plain(value: Any) -> Any:
    """The part of a configuration that JSON can hold; the rest as its text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if (isinstance(value, float) and value != value) or value in (float("inf"), float("-inf")):
        return str(value)
    return value if isinstance(value, _OPTIONS) else str(value)
