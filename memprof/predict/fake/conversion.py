"""Lets fake tensors change in place what they hold, as ``module.to(...)`` does to parameters.

PyTorch exchanges the two tensors where a parameter is fake, which it refuses for a tensor that
anybody refers to weakly. A real parameter gets new data instead, and so do these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor

from memprof.record.patches import Patches

_DATA: Any = torch.Tensor.data


def install(patches: Patches) -> None:
    """Gives fake tensors such data; undoing `patches` restores them."""
    patches.replace(FakeTensor, "data", lambda _: property(_data, _set_data))
    patches.replace(torch.utils, "swap_tensors", _swap)


def _data(tensor: Any) -> Any:
    return _DATA.__get__(tensor)


def _set_data(tensor: Any, value: Any) -> None:
    _DATA.__set__(tensor, value)
    if isinstance(value, FakeTensor):
        tensor._fake_device = value.fake_device


def _swap(swap: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def swap_tensors(kept: Any, value: Any) -> None:
        if isinstance(kept, FakeTensor) and isinstance(value, FakeTensor):
            _set_data(kept, value)
        else:
            swap(kept, value)

    return swap_tensors
