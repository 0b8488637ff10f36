"""Sizes of PyTorch's element types by name, known without PyTorch."""

from __future__ import annotations

from typing import Final

from memprof.errors import UsageError

#: Bytes of one element by the dtype's name, as in ``torch.bfloat16``.
ITEMSIZE: Final = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "complex128": 16,
    "complex64": 8,
    "complex32": 4,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint64": 8,
    "uint32": 4,
    "uint16": 2,
    "uint8": 1,
    "bool": 1,
    "float8_e4m3fn": 1,
    "float8_e4m3fnuz": 1,
    "float8_e5m2": 1,
    "float8_e5m2fnuz": 1,
    "float8_e8m0fnu": 1,
    "float4_e2m1fn_x2": 1,
    "qint8": 1,
    "quint8": 1,
    "qint32": 4,
}

_SHORT: Final = {
    "fp64": "float64",
    "double": "float64",
    "fp32": "float32",
    "float": "float32",
    "fp16": "float16",
    "half": "float16",
    "bf16": "bfloat16",
    "long": "int64",
    "fp8": "float8_e4m3fn",
    "float8": "float8_e4m3fn",
}


def dtype_name(name: str) -> str:
    """The full name of a dtype: ``bf16`` and ``torch.bfloat16`` are ``bfloat16``.

    Raises:
        UsageError: if there is no such dtype.
    """
    plain = name.removeprefix("torch.")
    full = _SHORT.get(plain, plain)
    if full not in ITEMSIZE:
        raise UsageError(
            f"dtype {name!r} is unknown: write it like 'bfloat16', 'float32' or 'fp16'"
        )
    return full


def itemsize(name: str) -> int:
    """Bytes of one element of a dtype.

    Raises:
        UsageError: if there is no such dtype.
    """
    return ITEMSIZE[dtype_name(name)]
