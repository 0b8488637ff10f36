"""Makes a program that trains on one GPU into one of many, where it moves its model there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from memprof.record.patches import Patches


def shard_models(ranks: int, patches: Patches) -> None:
    """Shards every model that is moved to a GPU, before it moves; undoing `patches` ends it."""
    mesh = init_device_mesh("cuda", (ranks,))

    def wrap(move: Callable[..., Any]) -> Callable[..., Any]:
        def to(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if _goes_to_gpu(args, kwargs) and not isinstance(module, FSDPModule):
                fully_sharded(module, mesh)
            return move(module, *args, **kwargs)

        return to

    patches.replace(nn.Module, "to", wrap)


def fully_sharded(model: nn.Module, mesh: Any) -> None:
    """Shards the layers of a model one by one, and what is left as one."""
    for child in model.modules():
        if isinstance(child, nn.ModuleList):
            for layer in child:
                if any(True for _ in layer.parameters()):
                    fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)


def _goes_to_gpu(args: Any, kwargs: Any) -> bool:
    devices = [
        value for value in (*args, *kwargs.values()) if isinstance(value, (str, torch.device))
    ]
    return any(torch.device(device).type == "cuda" for device in devices)
