"""What each operator does to memory, decided once per operator from its schema."""

from __future__ import annotations

from typing import Final

import torch

READS: Final = 0  # returns views, its own arguments, or no tensors: nothing is born
ALLOCATES: Final = 1  # may return tensors with storages of their own
RESIZES: Final = 2  # writes into arguments and may give them another size or another storage
EXCHANGES: Final = 3  # sends arguments to other processes or receives into them; may allocate

_BRINGS_STORAGE = ("aten::lift_fresh", "aten::set_")
_EXCHANGING = ("c10d::", "_c10d_functional::", "_dtensor::")
_RESIZING = ("aten::resize_", "aten::resize_as_", "aten::_resize_output_")


def effect(func: torch._ops.OpOverload) -> int:
    """Classifies an operator as READS, ALLOCATES, RESIZES or EXCHANGES."""
    schema = func._schema
    if schema.name.startswith(_EXCHANGING):
        return EXCHANGES
    if schema.name.startswith(_BRINGS_STORAGE):
        return ALLOCATES
    if schema.name in _RESIZING or any(argument.is_out for argument in schema.arguments):
        return RESIZES
    aliased = [returned.alias_info is not None for returned in schema.returns]
    return READS if all(aliased) else ALLOCATES


def only_frees(func: torch._ops.OpOverload) -> bool:
    """Whether an operator allocates nothing, and may free memory that its argument had before.

    PyTorch's profiler complains on stderr of memory freed under it that it has not seen allocated.
    """
    return func._schema.name == "aten::set_"


def is_composite(func: torch._ops.OpOverload) -> bool:
    """Whether autograd takes this operator apart before any backend sees it.

    Under `torch.inference_mode` autograd is skipped and such an operator arrives whole; what it
    allocates inside would go unseen.
    """
    name: str = func.name()  # type: ignore[no-untyped-call]
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    return bool(has(name, "CompositeImplicitAutograd")) and not (
        has(name, "CPU") or has(name, "CUDA")
    )
