"""What the norms of Llama-like models keep for backward, operation by operation."""

from __future__ import annotations

from typing import Final

from memprof.estimate.activations import Part
from memprof.estimate.llama_sizes import LlamaSizes
from memprof.estimate.model_spec import ModelSpec

#: Architectures whose norm works in float32 to its end, and multiplies by one more than its weight.
_IN_FLOAT32: Final = ("gemma", "gemma2", "gemma3_text")
#: Architectures that normalise what attention and the MLP return, too.
_AFTER_TOO: Final = ("gemma2", "gemma3_text")
#: Architectures that normalise each head of queries and keys.
_HEADS_TOO: Final = ("qwen3", "qwen3_moe", "gemma3_text")


def norm(model: ModelSpec, sizes: LlamaSizes, name: str) -> tuple[Part, ...]:
    """A norm of the residual stream, and its result, which the layers behind it keep."""
    parts = _normalised(model, sizes.stream_rows, sizes.hidden, sizes.element, name)
    return (*parts, Part(f"result of the {name}", sizes.stream))


def norm_after(model: ModelSpec, sizes: LlamaSizes, name: str) -> tuple[Part, ...]:
    """A norm of what attention or the MLP returns: its result is only added to the stream."""
    if model.model_type not in _AFTER_TOO:
        return ()
    return _normalised(model, sizes.stream_rows, sizes.hidden, sizes.element, name)


def head_norms(model: ModelSpec, sizes: LlamaSizes, element: int) -> tuple[Part, ...]:
    """Norms of every head's queries and keys, before they are rotated."""
    if model.model_type not in _HEADS_TOO:
        return ()
    return (
        *_normalised(model, sizes.rows * sizes.heads, sizes.width, element, "norm of the queries"),
        *_normalised(model, sizes.rows * sizes.groups, sizes.width, element, "norm of the keys"),
    )


def _normalised(
    model: ModelSpec, rows: int, width: int, element: int, name: str
) -> tuple[Part, ...]:
    """The norm works in float32: at lower precision it keeps a copy of its input."""
    wide = model.model_type in _IN_FLOAT32
    return (
        Part(f"input of the {name}, in float32", 4 * rows * width),
        Part(f"{name}, normalised", (4 if wide else element) * rows * width),
        Part(f"{name}, inverse root", 4 * rows),
        Part(f"{name}, 1 + its weight", 4 * width if wide else 0),
    )
