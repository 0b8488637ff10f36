"""What is taken for values that follow from unknown data and could steer the program.

A choice is valid as an index and spread over what can be chosen; what is compared or counted is
none. So a program goes its usual way: losses are finite, no sequence ends early, and a router gives
every expert as many tokens as the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch

_aten = torch.ops.aten
NUMBER: Final = 1.0  # for a loss or a norm: neither ends a loop nor divides by nothing


def stand_in(func: Any, result: torch.Tensor, args: Any) -> torch.Tensor:
    """Values in the place of those of one result of an operator.

    Args:
        func: the operator.
        result: one of its results.
        args: what it was called with.
    """
    make = _CHOICES.get(func)
    if make is None or result.is_floating_point():
        counts = not (result.is_floating_point() or result.is_complex())
        return torch.full(result.shape, 0 if counts else NUMBER, dtype=result.dtype)
    return make(result, *args)


def _token(result: torch.Tensor, source: torch.Tensor, *rest: Any) -> torch.Tensor:
    """One from the middle of the vocabulary: special tokens stand at its ends."""
    return torch.full(result.shape, _among(source, rest[:1]) // 2)


def _drawn(result: torch.Tensor, source: torch.Tensor, *rest: Any) -> torch.Tensor:
    among = _among(source, ())
    place = torch.arange(result.shape[-1] if result.dim() else 1)
    return ((among // 2 + place) % among).expand(result.shape)


def _spread(result: torch.Tensor, source: torch.Tensor, count: int, *rest: Any) -> torch.Tensor:
    """Every row chooses the ones after those of the row before it."""
    among = max(1, _among(source, rest[:1]))
    return (torch.arange(result.numel()) % among).view(result.shape)


def _in_order(result: torch.Tensor, source: torch.Tensor, *rest: Any) -> torch.Tensor:
    return torch.arange(result.shape[-1] if result.dim() else 1).expand(result.shape)


def _among(source: torch.Tensor, dim: tuple[Any, ...]) -> int:
    chosen = dim[0] if dim and isinstance(dim[0], int) else -1
    return source.shape[chosen] if source.dim() else 1


_CHOICES: Final[dict[Any, Callable[..., torch.Tensor]]] = {
    _aten.argmax.default: _token,
    _aten.multinomial.default: _drawn,
    _aten.topk.default: _spread,
    _aten.sort.default: _in_order,
    _aten.sort.stable: _in_order,
}
