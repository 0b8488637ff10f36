"""Splits a model's matrices over ranks: by the plan that it brings, or by its layers' names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, distribute_module
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    RowwiseParallel,
    parallelize_module,
)

from memprof.errors import UsageError

#: What transformers' plans call their styles, in PyTorch's terms.
_STYLES: Final[Mapping[str, Callable[[], ParallelStyle]]] = {
    "colwise": ColwiseParallel,
    "rowwise": RowwiseParallel,
    "colwise_rep": lambda: ColwiseParallel(output_layouts=Replicate()),
    "colwise_gather_output": lambda: ColwiseParallel(output_layouts=Replicate()),
    "embedding_rowwise": lambda: RowwiseParallel(input_layouts=Replicate()),
}
#: The layers of models that are built like Llama, and bring no plan.
_LLAMA: Final = {
    **{f"*{name}_proj": "colwise" for name in ("q", "k", "v", "gate", "up")},
    **{f"*{name}_proj": "rowwise" for name in ("o", "down")},
}


def split(model: nn.Module, mesh: Any) -> None:
    """Splits what the model's plan names; all else stays whole on every rank.

    Raises:
        UsageError: if there is no plan for the model, or it needs more than PyTorch's styles.
    """
    plan = getattr(model, "_tp_plan", None) or _LLAMA
    names = [name for name, _ in model.named_modules() if name]
    styles = {name: style for name in names if (style := _style(name, plan))}
    unknown = sorted({style for style in plan.values() if style not in _STYLES})
    if unknown or not styles:
        why = f"its plan has {', '.join(unknown)}" if unknown else "it has no tp_plan"
        raise UsageError(
            f"{type(model).__name__} cannot be split by --strategy tp: {why}; models of dense "
            "layers with a tp_plan of transformers or layers named like Llama's can be"
        )
    _check_heads(model, mesh.size())
    rest = [
        name
        for name, module in model.named_modules()
        if name and name not in styles and any(True for _ in module.parameters(recurse=False))
    ]
    chosen = {name: _STYLES[style]() for name, style in styles.items()}
    parallelize_module(model, mesh, {**chosen, **{name: Whole() for name in rest}})


class Whole(ParallelStyle):
    """A module that every rank has whole; an optimizer wants its parameters like all others."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        return distribute_module(module, device_mesh, None, _given, _returned)


def _given(module: nn.Module, args: Any, mesh: DeviceMesh) -> Any:
    return tuple(
        DTensor.from_local(each, mesh, [Replicate()], run_check=False)
        if isinstance(each, torch.Tensor) and not isinstance(each, DTensor)
        else each
        for each in args
    )


def _returned(module: nn.Module, output: Any, mesh: DeviceMesh) -> Any:
    return output.to_local() if isinstance(output, DTensor) else output


def _style(name: str, plan: Mapping[str, str]) -> str | None:
    return next((style for pattern, style in plan.items() if fnmatchcase(name, pattern)), None)


def _check_heads(model: Any, ranks: int) -> None:
    config = getattr(model, "config", None)
    for kind in ("num_attention_heads", "num_key_value_heads"):
        heads = getattr(config, kind, None)
        if isinstance(heads, int) and heads % ranks:
            raise UsageError(
                f"{type(model).__name__} cannot be split over {ranks} ranks: {kind} is {heads}"
            )
