"""The values that a program may ask for: small ones are computed beside the fake tensors.

Lengths, masks, counters, stopping criteria and indices steer a program, and are small. The fake
storage of such a tensor has a real twin of the same bytes for as long as everything that went into
it is known. What follows from unknown data has a stand-in where it could steer the program.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch._subclasses.fake_tensor import FakeTensor

from memprof.predict.fake.stand_ins import stand_in

INTEGERS_UP_TO: Final = 8 << 20  # bytes of a tensor of integers or booleans
FLOATS_UP_TO: Final = 1 << 9

_aten = torch.ops.aten
_KEEPS: Final = {_aten._amp_foreach_non_finite_check_and_unscale_.default}  # finds all finite
_UNSET: Final = {
    _aten.empty.memory_format,
    _aten.empty_like.default,
    _aten.empty_strided.default,
    _aten.new_empty.default,
    _aten.new_empty_strided.default,
}
_LIFTS: Final = {_aten.lift_fresh.default, _aten.lift.default, _aten.lift_fresh_copy.default}
_NOT_FOR_TWINS: Final = ("device", "pin_memory", "layout")


def value_of(tensor: Any) -> torch.Tensor | None:
    """The value of a tensor as a real one on the host, where it is known."""
    if not isinstance(tensor, FakeTensor):
        return tensor if isinstance(tensor, torch.Tensor) else None
    twin = getattr(tensor.untyped_storage(), "_twin", None)
    if twin is None:
        return None
    empty = torch.empty(0, dtype=tensor.dtype)
    return empty.set_(twin, tensor.storage_offset(), tensor.size(), tensor.stride())


def is_assumed(tensor: Any) -> bool:
    """Whether the value of a tensor is a stand-in, or follows from one."""
    return bool(getattr(tensor.untyped_storage(), "_assumed", False))


def remember(fake: torch.Tensor, value: torch.Tensor, *, assumed: bool = False) -> None:
    """Gives the storage of a fresh tensor a twin with these values."""
    storage: Any = fake.untyped_storage()
    twin = torch.empty_strided(fake.size(), fake.stride(), dtype=fake.dtype)
    twin.copy_(value)
    if twin.untyped_storage().nbytes() == storage.nbytes():  # else the program made a part of it
        storage._twin, storage._assumed = twin.untyped_storage(), assumed


def follow(func: Any, args: Any, kwargs: Any, result: Any) -> None:
    """Brings the twins up to date with what an operator returned and wrote."""
    if func._schema.is_mutable:
        _follow_writes(func, args, kwargs)
        return
    aliased = any(returned.alias_info is not None for returned in func._schema.returns)
    if aliased and func not in _LIFTS:
        return  # a view: what is known of its storage holds
    fresh = [tensor for tensor in tensors_in(result) if not _has_twin(tensor)]
    if fresh and any(map(_may_be_known, fresh)):
        _follow_results(func, args, kwargs, result, fresh)


def computed(func: Any, args: Any, kwargs: Any) -> Any:
    """What an operator answers to known values, as real tensors; None where one is not known."""
    try:
        named = {key: _real(value) for key, value in kwargs.items() if key not in _NOT_FOR_TWINS}
        return func(*_real(args), **named)
    except Exception:  # not known, or a kernel that the host lacks
        return None


def tensors_in(value: Any) -> list[torch.Tensor]:
    """The tensors among an operator's arguments or results."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, (tuple, list)):
        return [tensor for item in value for tensor in tensors_in(item)]
    return []


def _follow_writes(func: Any, args: Any, kwargs: Any) -> None:
    written = _written(func, args, kwargs)
    twins = [tensor for tensor in written if _has_twin(tensor)]
    if not twins or func in _KEEPS:
        return
    if len(twins) == len(written) and computed(func, args, kwargs) is not None:
        return
    for tensor in twins:
        storage: Any = tensor.untyped_storage()
        storage._twin = None


def _follow_results(
    func: Any, args: Any, kwargs: Any, result: Any, fresh: list[torch.Tensor]
) -> None:
    known = func not in _UNSET and all(map(_may_be_known, fresh))
    values = computed(func, args, kwargs) if known else None
    if values is not None:
        for fake, value in zip(tensors_in(result), tensors_in(values), strict=True):
            if not _has_twin(fake):
                remember(fake, value, assumed=any(map(is_assumed, tensors_in(args))))
        return
    for fake in fresh:
        if _may_be_known(fake):
            remember(fake, stand_in(func, fake, args), assumed=func not in _UNSET)


def _real(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        known = value_of(value)
        if known is None:
            raise KeyError
        return known
    if isinstance(value, (tuple, list)):
        return [_real(item) for item in value]
    return torch.device("cpu") if isinstance(value, torch.device) else value


def _has_twin(tensor: torch.Tensor) -> bool:
    return getattr(tensor.untyped_storage(), "_twin", None) is not None


def _may_be_known(tensor: torch.Tensor) -> bool:
    if tensor.layout is not torch.strided or tensor.is_quantized:
        return False
    most = FLOATS_UP_TO if _is_real_number(tensor) else INTEGERS_UP_TO
    return tensor.untyped_storage().nbytes() <= most


def _is_real_number(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _written(func: Any, args: Any, kwargs: Any) -> list[torch.Tensor]:
    given: list[torch.Tensor] = []
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given += tensors_in(args[place] if place < len(args) else kwargs.get(argument.name))
    return given
