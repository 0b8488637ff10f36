"""Shards a model with FSDP2, layer by layer."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.distributed.fsdp import FSDPModule, fully_shard


def fully_sharded(model: nn.Module, mesh: Any) -> None:
    """Shards the layers of a model one by one, and what is left as one, unless it is already."""
    if isinstance(model, FSDPModule):
        return
    for child in model.modules():
        if isinstance(child, nn.ModuleList):
            for layer in child:
                if any(True for _ in layer.parameters()):
                    fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
