"""Shapes that PyTorch's own rules give otherwise than its kernels do.

Each entry names the kernel; a test compares it with the real one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

_aten = torch.ops.aten


def _grouped_mm(mode: FakeTensorMode, args: Any, kwargs: Any) -> torch.Tensor:
    """The rule takes bfloat16 alone; the kernels take other types too."""
    left, right = args[0], args[1]
    groups = args[2] if len(args) > 2 else kwargs.get("offs")
    rows, columns = left.shape[-2], right.shape[-1]
    shape: tuple[int, ...] = (rows, columns)
    if left.dim() == right.dim():
        shape = (len(groups) if left.dim() == 2 else left.shape[0], rows, columns)
    with mode:
        return torch.empty(shape, dtype=kwargs.get("out_dtype") or left.dtype, device=left.device)


def _mixed_layer_norm(mode: FakeTensorMode, args: Any, results: Any) -> Any:
    """On the CPU the statistics of half inputs with float32 weights are float32 (mixed_dtype)."""
    normalized, *statistics = results
    inputs, weight = args[0], args[2]
    if inputs.device.type != "cpu" or weight is None or weight.dtype == inputs.dtype:
        return results
    with mode:
        wide = [torch.empty_like(each, dtype=weight.dtype) for each in statistics]
    return (normalized, *wide)


#: In the place of a rule.
INSTEAD: Final[dict[Any, Callable[[FakeTensorMode, Any, Any], Any]]] = {
    _aten._grouped_mm.default: _grouped_mm,
}

#: On what a rule gave.
CORRECTED: Final[dict[Any, Callable[[FakeTensorMode, Any, Any], Any]]] = {
    _aten.native_layer_norm.default: _mixed_layer_norm,
}
