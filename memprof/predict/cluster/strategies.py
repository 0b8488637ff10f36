"""Makes a program that trains on one GPU into one of many, where it moves its model there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh

from memprof.predict.cluster.replicas import replicate
from memprof.predict.cluster.shard import fully_sharded
from memprof.predict.cluster.tensor_parallel import split
from memprof.record.patches import Patches


def distribute(strategy: str, ranks: int, patches: Patches) -> None:
    """Distributes every model that is moved to a GPU; undoing `patches` ends it.

    Args:
        strategy: "fsdp2" and "tp" before it moves, as no GPU need hold the whole; "ddp" after.
        ranks: over how many.
        patches: what is replaced.
    """
    mesh = init_device_mesh("cuda", (ranks,))

    def before(model: nn.Module) -> None:
        if strategy == "fsdp2":
            fully_sharded(model, mesh)
        elif strategy == "tp":
            split(model, mesh)

    done: WeakSet[nn.Module] = WeakSet()

    def wrap(move: Callable[..., Any]) -> Callable[..., Any]:
        def moving(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if module in done or not _goes_to_gpu(args, kwargs):
                return move(module, *args, **kwargs)
            done.update(module.modules())
            before(module)
            result = move(module, *args, **kwargs)
            if strategy == "ddp":
                replicate(module)
            return result

        return moving

    patches.replace(nn.Module, "to", wrap)
    patches.replace(nn.Module, "cuda", lambda _: _to_gpu)


def _to_gpu(module: nn.Module, device: Any = None) -> nn.Module:
    return module.to(torch.device("cuda", device) if isinstance(device, int) else device or "cuda")


def _goes_to_gpu(args: Any, kwargs: Any) -> bool:
    devices = [
        value for value in (*args, *kwargs.values()) if isinstance(value, (str, torch.device))
    ]
    return any(torch.device(device).type == "cuda" for device in devices)
