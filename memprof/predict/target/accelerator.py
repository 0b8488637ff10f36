"""Lets autograd work on fake CUDA tensors where PyTorch has no CUDA.

A fake CUDA tensor has the dispatch keys of a real one, so PyTorch chooses the kernels of a GPU for
it. Only autograd's engine asks the device itself, for the stream of each node, and a build without
CUDA answers that with an error. It asks two C++ objects: the device's guard, for which PyTorch has
a stand-in that does nothing, and its hooks, of which two questions are answered here. Both are put
back afterwards.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from memprof.errors import MemprofError

_REGISTRY: Final = "_ZN3c104impl26device_guard_impl_registryE"
_HOOKS: Final = "_ZN2at6detail12getCUDAHooksEv"
_CUDA: Final = 1  # c10::DeviceType::CUDA
_SLOTS: Final = 64
_BEFORE: Final = 2  # words of a virtual table that lie before its first function
_WORD: Final = ctypes.sizeof(ctypes.c_void_p)
_YES = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1)
_NO = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 0)

Table = ctypes.Array[ctypes.c_void_p]


class NoCudaError(MemprofError):
    """CUDA cannot be stood in for with this build of PyTorch."""


@contextmanager
def cuda_stand_in() -> Iterator[None]:
    """Makes autograd accept fake CUDA tensors; does nothing where PyTorch has CUDA.

    Raises:
        NoCudaError: if this build of PyTorch hides what must be stood in for.
    """
    if torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
        yield
        return
    try:
        registry, hooks = _guards(), _hooks()
    except (AttributeError, OSError, ValueError) as error:
        raise NoCudaError(f"CUDA cannot be predicted with this build of PyTorch: {error}") from None
    with _guard_that_does_nothing(registry), _hooks_that_answer(hooks):
        yield


@contextmanager
def _guard_that_does_nothing(registry: Any) -> Iterator[None]:
    """Registers PyTorch's own stand-in, which it makes where a guard counts no devices."""
    before = registry[_CUDA]
    counts_none = _table([_NO] * _SLOTS)
    instance = (ctypes.c_void_p * 1)(ctypes.addressof(counts_none))
    registry[_CUDA] = ctypes.addressof(instance)
    torch._C._ensureCUDADeviceGuardSet()
    try:
        yield
    finally:
        registry[_CUDA] = before


@contextmanager
def _hooks_that_answer(hooks: Any) -> Iterator[None]:
    """Lets the hooks say that CUDA is built and that no device of it is in use yet."""
    before = hooks[0]
    words = (ctypes.c_void_p * (_SLOTS + _BEFORE)).from_address(before - _BEFORE * _WORD)
    table = (ctypes.c_void_p * (_SLOTS + _BEFORE))(*words)
    try:
        _find(hooks, table, _YES, _is_built)
        _find(hooks, table, _NO, _runs_backward)
        yield
    finally:
        hooks[0] = before


def _find(hooks: Any, table: Table, answer: Any, works: Callable[[], bool]) -> None:
    """Answers the one question after which something works; where it stands differs by version."""
    hooks[0] = ctypes.addressof(table) + _BEFORE * _WORD
    for slot in range(2 + _BEFORE, _SLOTS + _BEFORE):  # the first two are destructors
        kept = table[slot]
        table[slot] = _address(answer)
        if works():
            return
        table[slot] = kept
    raise NoCudaError(
        f"CUDA cannot be predicted with PyTorch {torch.__version__}: autograd refuses fake tensors"
    )


def _is_built() -> bool:
    return torch._C._accelerator_getAccelerator() is not None


def _runs_backward() -> bool:
    with suppress(RuntimeError), FakeTensorMode(), torch.autograd.set_multithreading_enabled(False):
        leaf = torch.empty(1, device="cuda", requires_grad=True)
        (leaf * leaf).backward()  # type: ignore[no-untyped-call]
        return True
    return False


def _guards() -> Any:
    return (ctypes.c_void_p * (_CUDA + 1)).in_dll(_library("c10"), _REGISTRY)


def _hooks() -> Any:
    get = _library("torch_cpu")[_HOOKS]
    get.restype = ctypes.c_void_p
    return ctypes.cast(get(), ctypes.POINTER(ctypes.c_void_p))


def _library(name: str) -> ctypes.CDLL:
    return ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / f"lib{name}.so"))


def _table(functions: list[Any]) -> Table:
    return (ctypes.c_void_p * len(functions))(*map(_address, functions))


def _address(function: Any) -> int | None:
    return ctypes.cast(function, ctypes.c_void_p).value
