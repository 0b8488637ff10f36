"""Models as their weight files describe them: headers of safetensors and GGUF, no weights read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from memprof.errors import MissingExtraError, UsageError
from memprof.estimate.model_spec import ModelSpec, TensorSpec

#: Names of safetensors' element types.
_DTYPES: Final = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
}


def spec_of_safetensors(paths: Iterable[Path]) -> ModelSpec:
    """Describes the tensors of safetensors files, with the ``config.json`` beside them if any.

    Args:
        paths: all files of one model.

    Raises:
        UsageError: if one cannot be read.
        MissingExtraError: without the package safetensors.
    """
    files = list(paths)
    tensors: list[TensorSpec] = []
    for path in files:
        tensors += _header(path, first=len(tensors))
    config = files[0].parent / "config.json"
    told = json.loads(config.read_text("utf-8")) if config.is_file() else {}
    return ModelSpec(root=files[0].stem, config=told, parameters=tuple(tensors))


def _header(path: Path, first: int) -> list[TensorSpec]:
    package = _package("safetensors")
    try:
        with package.safe_open(str(path), framework="numpy") as file:
            slices = [(name, file.get_slice(name)) for name in file.keys()]  # noqa: SIM118
            return [
                _tensor(name, tuple(part.get_shape()), part.get_dtype(), first + place)
                for place, (name, part) in enumerate(slices)
            ]
    except (OSError, package.SafetensorError) as error:
        raise UsageError(f"{path}: cannot be read as safetensors: {error}") from None


def _tensor(name: str, shape: tuple[int, ...], dtype: str, storage: int) -> TensorSpec:
    return TensorSpec(name, shape, _DTYPES.get(dtype, dtype.lower()), "cpu", True, storage)


def spec_of_gguf(path: Path) -> ModelSpec:
    """Describes the tensors of a GGUF file in the formats they are stored in.

    Raises:
        UsageError: if the file cannot be read.
        MissingExtraError: without the package gguf.
    """
    package = _package("gguf")
    try:
        reader = package.GGUFReader(str(path))
    except (OSError, ValueError, IndexError) as error:
        raise UsageError(f"{path}: cannot be read as GGUF: {error}") from None
    tensors = tuple(_gguf_tensor(row, place) for place, row in enumerate(reader.tensors))
    return ModelSpec(path.stem, config=_gguf_config(reader.fields), parameters=tensors)


def _gguf_tensor(row: Any, storage: int) -> TensorSpec:
    """GGUF tells sizes with the innermost first."""
    shape = tuple(int(size) for size in reversed(row.shape))
    name = str(row.tensor_type.name)
    plain = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}.get(name)
    return TensorSpec(
        name=str(row.name),
        shape=shape,
        dtype=plain or "float16",
        device="cpu",
        requires_grad=False,
        storage=storage,
        format="" if plain else name.lower(),
        stored_bytes=int(row.n_bytes),
    )


def _gguf_config(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes that caches depend on, under Hugging Face's names."""
    told = {name: field.contents() for name, field in fields.items()}
    kind = str(told.get("general.architecture", ""))
    names = {
        "block_count": "num_hidden_layers",
        "embedding_length": "hidden_size",
        "feed_forward_length": "intermediate_size",
        "attention.head_count": "num_attention_heads",
        "attention.head_count_kv": "num_key_value_heads",
        "attention.key_length": "head_dim",
        "attention.sliding_window": "sliding_window",
        "vocab_size": "vocab_size",
    }
    found = {ours: told.get(f"{kind}.{name}") for name, ours in names.items()}
    sizes = {name: value for name, value in found.items() if isinstance(value, int)}
    return {"model_type": kind, **sizes}


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise MissingExtraError(
            f"reading this file needs the package {name}: pip install 'torch-memprof[weights]'"
        ) from None
