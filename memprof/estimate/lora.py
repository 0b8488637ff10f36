"""Low-rank adapters: two thin matrices beside each chosen layer, and a model that is not trained.

Hu et al., 2106.09685, in the layout of peft: A of (rank, input) and B of (output, rank).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from memprof.errors import UsageError
from memprof.estimate.closest import closest
from memprof.estimate.dtypes import dtype_name
from memprof.estimate.model_spec import ModelSpec, TensorSpec
from memprof.estimate.run_parts import Lora

#: GPT-2 keeps its matrices with the input first.
_INPUT_FIRST: Final = ("c_attn", "c_fc", "c_proj")


def with_adapters(model: ModelSpec, lora: Lora) -> ModelSpec:
    """The model frozen, with the adapters' parameters beside those of their layers.

    Raises:
        UsageError: if no layer is called so.
    """
    tensors: list[TensorSpec] = []
    storage = max((tensor.storage for tensor in model.parameters), default=0) + 1
    for tensor in model.parameters:
        tensors.append(replace(tensor, requires_grad=False))
        for adapter in _adapters(tensor, lora, storage):
            tensors.append(adapter)
            storage += 1
    if len(tensors) == len(model.parameters):
        layers = sorted({each.name.split(".")[-2] for each in tensors if len(each.shape) == 2})
        wanted = ", ".join(lora.targets)
        raise UsageError(f"no layer for adapters ends in {wanted}; {closest(wanted, layers)}")
    return replace(model, parameters=tuple(tensors))


def _adapters(tensor: TensorSpec, lora: Lora, storage: int) -> Iterator[TensorSpec]:
    layer, _, last = tensor.name.rpartition(".")
    if last != "weight" or len(tensor.shape) != 2 or layer.split(".")[-1] not in lora.targets:
        return
    outputs, inputs = tensor.shape
    if layer.split(".")[-1] in _INPUT_FIRST:
        outputs, inputs = inputs, outputs
    for name, shape in (("A", (lora.rank, inputs)), ("B", (outputs, lora.rank))):
        yield replace(
            tensor,
            name=f"{layer}.lora_{name}.weight",
            shape=shape,
            dtype=dtype_name(lora.dtype),
            requires_grad=True,
            storage=storage + (name == "B"),
            format="",
            stored_bytes=None,
        )
