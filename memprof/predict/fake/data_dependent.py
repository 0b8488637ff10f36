"""Operators whose results have as many elements as the data say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from memprof.predict.fake.values import computed, remember, tensors_in, value_of

_aten = torch.ops.aten
StoodIn = Callable[[str, object], None]
Sizes = list[tuple[tuple[int, ...], torch.dtype]]


def shaped_by_data(
    mode: FakeTensorMode, func: Any, args: Any, kwargs: Any, stood_in: StoodIn
) -> Any:
    """The results of such an operator as fake tensors; called outside the mode.

    Where the data are known the shapes are exact; else everything is taken to be chosen, which
    is the most memory that it can need, and `stood_in` is told so.

    Returns:
        None where it cannot be said.
    """
    if func is _aten.index.Tensor:
        numbers = _as_numbers(mode, args[1], stood_in)
        with mode:
            return func(args[0], numbers, **kwargs)
    values = computed(func, args, kwargs)
    if values is not None:
        return _known(mode, values, tensors_in(args)[0].device)
    if func not in _LARGEST:
        return None
    stood_in(f"the result of {func}, whose size depends on data", "the largest size")
    made = [_empty(mode, *size, args[0].device) for size in _LARGEST[func](*args)]
    return made[0] if len(made) == 1 else tuple(made)


def _known(mode: FakeTensorMode, values: Any, device: torch.device) -> Any:
    fakes = []
    for value in tensors_in(values):
        fakes.append(_empty(mode, tuple(value.shape), value.dtype, device))
        remember(fakes[-1], value)
    return fakes[0] if isinstance(values, torch.Tensor) else tuple(fakes)


def _empty(
    mode: FakeTensorMode, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    with mode:
        return torch.empty(shape, dtype=dtype, device=device)


def _as_numbers(mode: FakeTensorMode, indices: Any, stood_in: StoodIn) -> list[Any]:
    """Masks among the indices as numbers of the chosen places."""
    numbers: list[Any] = []
    for index in indices:
        if index is None or index.dtype not in (torch.bool, torch.uint8):
            numbers.append(index)
            continue
        known = value_of(index)
        if known is None:
            stood_in("what a mask chooses, which depends on data", "everything")
        count = index.numel() if known is None else int(known.sum())
        numbers += [_empty(mode, (count,), torch.int64, index.device)] * index.dim()
    return numbers


def _nonzero(source: torch.Tensor) -> Sizes:
    return [((source.numel(), source.dim()), torch.int64)]


def _masked(source: torch.Tensor, mask: torch.Tensor) -> Sizes:
    chosen = torch.broadcast_shapes(source.shape, mask.shape).numel()  # type: ignore[no-untyped-call]
    return [((chosen,), source.dtype)]


def _unique(source: torch.Tensor, *options: Any) -> Sizes:
    count = (source.numel(),)
    return [(count, source.dtype), (count, torch.int64), (count, torch.int64)]


_LARGEST: Final[dict[Any, Callable[..., Sizes]]] = {
    _aten.nonzero.default: _nonzero,
    _aten.masked_select.default: _masked,
    _aten._unique2.default: _unique,
}
