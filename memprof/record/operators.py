"""What each operator does to memory, decided once per operator from its schema."""

from __future__ import annotations

from typing import Final

import torch

READS: Final = 0  # returns views, its own arguments, or no tensors: nothing is born
ALLOCATES: Final = 1  # may return tensors with storages of their own
RESIZES: Final = 2  # writes into arguments and may give them another size or another storage

_QUESTIONS = "prim"  # asked of tensors that compute where they are, as fake ones do
_BRINGS_STORAGE = ("aten::lift_fresh", "aten::set_")
_RESIZING = ("aten::resize_", "aten::resize_as_", "aten::_resize_output_")


def effect(func: torch._ops.OpOverload) -> int:
    """Classifies an operator as READS, ALLOCATES or RESIZES."""
    schema = func._schema
    if func.namespace == _QUESTIONS:
        return READS
    if schema.name.startswith(_BRINGS_STORAGE):
        return ALLOCATES
    if schema.name in _RESIZING or any(argument.is_out for argument in schema.arguments):
        return RESIZES
    aliased = [returned.alias_info is not None for returned in schema.returns]
    return READS if all(aliased) else ALLOCATES


def is_composite(func: torch._ops.OpOverload) -> bool:
    """Whether autograd takes this operator apart before any backend sees it.

    Under `torch.inference_mode` autograd is skipped and such an operator arrives whole; what it
    allocates inside would go unseen.
    """
    if func.namespace == _QUESTIONS:
        return False
    name: str = func.name()  # type: ignore[no-untyped-call]
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    return bool(has(name, "CompositeImplicitAutograd")) and not (
        has(name, "CPU") or has(name, "CUDA")
    )
