"""A device at rest before and after something is measured, and whether it is there at all."""

from __future__ import annotations

import gc

import torch


def settle() -> None:
    """Frees what nothing refers to, waits for the CUDA devices in use, and resets their peaks."""
    gc.collect()
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return
    for index in range(torch.cuda.device_count()):
        torch.cuda.synchronize(index)
    torch.cuda.empty_cache()
    for index in range(torch.cuda.device_count()):
        torch.cuda.reset_peak_memory_stats(index)


def why_missing(device: str) -> str:
    """Says why a device such as "cuda:0" cannot be used here; "" where it can."""
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return ""
    module = getattr(torch, kind, None)
    if module is None or not hasattr(module, "is_available"):
        return f"PyTorch knows no device {kind!r}"
    if not module.is_available():
        return f"torch {torch.__version__} finds no {kind} device on this machine"
    count = module.device_count()
    if index and int(index) >= count:
        return f"this machine has {count} {kind} device{'s' if count > 1 else ''}"
    return ""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocator raised `error` because a device or the host has no more memory."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
