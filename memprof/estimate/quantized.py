"""Bytes of quantised weights: packed elements and what it takes to unpack them.

Layouts: AutoAWQ's GEMM (4-bit zero and 16-bit scale a group), bitsandbytes (float32 absmax a block
of 64 or a row, 1 KiB and 64 B of code a tensor), OCP MX, and llama.cpp's block structs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from memprof.errors import UsageError
from memprof.estimate.closest import closest

Shape = tuple[int, ...]


def _int8(shape: Shape) -> int:
    """Bitsandbytes LLM.int8: a byte an element, a float32 absmax a row."""
    return math.prod(shape) + 4 * math.prod(shape[:-1])


def _float8(shape: Shape) -> int:
    """A byte an element, one float32 scale."""
    return math.prod(shape) + 4


def _int4(shape: Shape, group: int = 128) -> int:
    """AWQ: half a byte an element, 16 + 4 bits a group along the input."""
    return _halves(shape) + math.ceil(_rows(shape) * math.ceil(shape[-1] / group) * 20 / 8)


def _nf4(shape: Shape) -> int:
    """Bitsandbytes NF4: a float32 absmax for 64 elements, a code of 16 float32."""
    return _halves(shape) + 4 * math.ceil(math.prod(shape) / 64) + 64


def _nf4_double(shape: Shape) -> int:
    """Bitsandbytes NF4 whose absmax are bytes, with a float32 for 256 of them and a code of 256."""
    blocks = math.ceil(math.prod(shape) / 64)
    return _halves(shape) + blocks + 4 * math.ceil(blocks / 256) + 4 + 4 * 256 + 64


def _mxfp4(shape: Shape) -> int:
    """OCP MXFP4: half a byte an element, a byte of scale for 32."""
    return _halves(shape) + math.ceil(math.prod(shape) / 32)


def _halves(shape: Shape) -> int:
    return math.ceil(math.prod(shape) / 2)


def _rows(shape: Shape) -> int:
    return math.prod(shape[:-1])


def _blocks(elements: int, nbytes: int) -> Callable[[Shape], int]:
    """llama.cpp: `nbytes` for every `elements` of a row."""
    return lambda shape: _rows(shape) * math.ceil(shape[-1] / elements) * nbytes


#: Bytes of a tensor of a shape, its last size being the layer's input, by the format's name.
FORMATS: Final[dict[str, Callable[[Shape], int]]] = {
    "int8": _int8,
    "fp8": _float8,
    "int4": _int4,
    "nf4": _nf4,
    "nf4-double": _nf4_double,
    "mxfp4": _mxfp4,
    "q8_0": _blocks(32, 34),
    "q6_k": _blocks(256, 210),
    "q5_k": _blocks(256, 176),
    "q4_k": _blocks(256, 144),
    "q4_0": _blocks(32, 18),
    "q3_k": _blocks(256, 110),
    "q2_k": _blocks(256, 84),
}
ALIASES: Final = {"float8": "fp8", "awq": "int4", "gptq": "int4", "q4": "int4", "q8": "int8"}


def format_name(name: str) -> str:
    """The full name of a format of quantised weights.

    Raises:
        UsageError: if there is none of that name.
    """
    plain = name.lower()
    full = ALIASES.get(plain, plain)
    if full not in FORMATS:
        raise UsageError(f"weight format {name!r} is unknown; {closest(plain, list(FORMATS))}")
    return full


def is_quantised(name: str, shape: Shape) -> bool:
    """Whether a format applies to a parameter: to the linear layers of blocks, experts among them.

    Embeddings, head, norms, routers and convolutions stay as they are.
    """
    parts = name.split(".")
    within = any(part.isdigit() for part in parts)
    named = parts[-2] if parts[-1] == "weight" else parts[-1]
    linear = named.endswith(("proj", "dense", "c_attn", "c_fc", "fc1", "fc2", "query_key_value"))
    channel = named in ("dense_h_to_4h", "dense_4h_to_h", "key", "value", "receptance", "output")
    return within and len(shape) >= 2 and (linear or channel)


def split_dtype(name: str) -> tuple[str, str]:
    """A dtype of weights as a plain dtype and a format: "int4" is 16-bit weights, packed.

    Returns:
        (dtype, "") for a floating-point dtype of 16 bits and more, ("", format) otherwise.
    """
    plain = name.lower()
    if ALIASES.get(plain, plain) in FORMATS:
        return "", ALIASES.get(plain, plain)
    return name, ""
