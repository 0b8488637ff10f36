"""What a call without backward holds for a moment, over weights and cache: its widest places.

Read off transformers' `modeling_llama.py` run by `generate`, tensor by tensor. While a block runs
the embedding's result, the block's own input and the positions' cosines and sines are held; on top
come what attention, a norm, the MLP or the head has at work. Of the logits the last token's alone
are made. Kernels may need more for themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from memprof.estimate.activations import Unknown
from memprof.estimate.activations_llama import GATES
from memprof.estimate.llama_sizes import LlamaSizes, sizes_of
from memprof.estimate.model_spec import ModelSpec
from memprof.estimate.run_spec import RunSpec

KNOWN: Final = ("llama", "mistral", "qwen2", "qwen3")


@dataclass(frozen=True, slots=True)
class Place:
    """A place of a call where much is held at once.

    Attributes:
        what: its name.
        nbytes: of tensors that are gone when the call has ended.
        cached: how far the cache of keys and values has come: "all" layers hold the new tokens,
            the last one has yet to ("before"), or is at it and holds its old ones too ("copying").
        formula: how the bytes come about.
    """

    what: str
    nbytes: int
    cached: str
    formula: str


def working_places(model: ModelSpec, run: RunSpec) -> list[Place] | str:
    """The widest places of a call without backward; else the reason why they are not known.

    Args:
        model: one device's part.
        run: of mode "prefill" or "decode".
    """
    if model.model_type not in KNOWN:
        known = ", ".join(KNOWN)
        return f'no formula for the working memory of "{model.model_type}" (there is for {known})'
    if model.config.get("hidden_act", "silu") not in GATES:
        return f"no formula for the activation function {model.config.get('hidden_act')}"
    if run.autocast or (run.attention or model.attention or "sdpa") != "sdpa":
        return "no formula for the working memory of this attention, or of autocast"
    try:
        sizes = sizes_of(model, replace(run, tokens=-(-run.tokens // run.parallel.cp)))
    except Unknown as reason:
        return str(reason)
    places = _places(sizes)
    return [*places, _head_norm(sizes)] if model.model_type == "qwen3" else places


def _head_norm(sizes: LlamaSizes) -> Place:
    """Qwen3's norm of every head of the queries, which works in float32."""
    heads = sizes.rows * sizes.heads
    full = 4 * heads * sizes.width
    rotary = 2 * sizes.rows * sizes.width * sizes.element
    return Place(
        "norm of the queries",
        3 * sizes.stream + rotary + sizes.queries + 2 * full + 8 * heads,
        "before",
        f"3 × {sizes.stream:,} B of residual stream + {sizes.queries:,} B of queries + "
        f"2 × {full:,} B of these in float32 + {rotary:,} B of cosines and sines",
    )


def _places(sizes: LlamaSizes) -> list[Place]:
    stream, queries, keys = sizes.stream, sizes.queries, sizes.keys
    inner = sizes.rows * sizes.inner * sizes.element
    rotary = 2 * sizes.rows * sizes.width * sizes.element
    held = 2 * stream + rotary
    full = 4 * sizes.rows * sizes.hidden
    logits = sizes.batch * sizes.vocabulary * (sizes.element + 4)
    return [
        Place(
            "MLP",
            held + 2 * stream + 3 * inner,
            "all",
            f"4 × {stream:,} B of residual stream + 3 × {inner:,} B of the MLP + {rotary:,} B of "
            "cosines and sines",
        ),
        Place(
            "rotation of the queries",
            held + stream + 4 * queries + 2 * keys,
            "before",
            f"3 × {stream:,} B of residual stream + 4 × {queries:,} B of queries + 2 × {keys:,} B "
            f"of keys and values + {rotary:,} B of cosines and sines",
        ),
        Place(
            "update of the cache",
            held + stream + queries + 2 * keys,
            "copying",
            f"3 × {stream:,} B of residual stream + {queries:,} B of queries + 2 × {keys:,} B of "
            f"new keys and values + {rotary:,} B of cosines and sines",
        ),
        Place(
            "norm before the MLP",
            held + stream + 2 * full + 8 * sizes.rows,
            "all",
            f"3 × {stream:,} B of residual stream + 2 × {full:,} B in float32",
        ),
        Place(
            "head",
            stream + logits,
            "all",
            f"{stream:,} B of residual stream + {logits:,} B of the last token's logits, in their "
            "own dtype and in float32",
        ),
    ]
