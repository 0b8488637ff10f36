"""What transformers' Llama, Mistral and Qwen2 keep for backward, operation by operation.

The code is the eager Python of `modeling_llama.py`; every part below is one saved tensor of it.
"""

from __future__ import annotations

from typing import Final

from memprof.estimate.activations import LOSS_BYTES, SHIFTED_LABELS, Part, Stack, Unknown
from memprof.estimate.activations_autocast import autocast_stack
from memprof.estimate.cache_layout import layer_types
from memprof.estimate.kv_cache import COUNTER_BYTES
from memprof.estimate.llama_sizes import LlamaSizes, sizes_of
from memprof.estimate.model_spec import ModelSpec
from memprof.estimate.run_spec import RunSpec

#: Activation functions that keep their input, and whose result the product keeps.
GATES: Final = ("silu", "swish", "gelu", "gelu_pytorch_tanh", "gelu_fast")


def llama_stack(model: ModelSpec, run: RunSpec) -> Stack:
    """What a Llama-like causal language model keeps.

    Raises:
        Unknown: if an option is set that the formulas do not cover.
    """
    if model.config.get("hidden_act", "silu") not in GATES:
        raise Unknown(f"no formula for the activation function {model.config.get('hidden_act')}")
    sizes = sizes_of(model, run)
    if run.autocast:
        return _autocast_stack(model, run, sizes)
    full = sizes.element == 4
    rotary = 2 * sizes.tokens * sizes.width * sizes.element
    return Stack(
        layers=sizes.layers,
        block=_block(model, run, sizes),
        block_input=sizes.stream,
        input_within=full,
        around=(Part("cosines and sines of the positions", rotary),),
        head=(*_norm(sizes, "final norm"), *loss_parts(run, sizes.vocabulary)),
        outputs=sizes.rows * sizes.vocabulary * sizes.element,
        cache=_cache_bytes(model, sizes),
        arguments=_arguments(model, run, sizes),
    )


def _autocast_stack(model: ModelSpec, run: RunSpec, sizes: LlamaSizes) -> Stack:
    if attention_kind(model, run) != "sdpa" or _masked(model, run):
        raise Unknown("no formula for autocast with this attention")
    if sizes.element != 4 or model.config.get("attention_dropout"):
        raise Unknown("no formula for autocast with these weights or with attention dropout")
    return autocast_stack(
        sizes, run, cached=_cached(model, run), loss=loss_parts(run, sizes.vocabulary)
    )


def loss_parts(run: RunSpec, vocabulary: int) -> tuple[Part, ...]:
    """What transformers' loss of a causal language model keeps, in float32 at any dtype.

    The shifted labels of a single sequence are a view of the padded ones, one longer.
    """
    rows = run.batch * run.tokens
    return (
        Part("log-softmax of the logits", 4 * rows * vocabulary),
        Part(SHIFTED_LABELS, 8 * (rows + (run.batch == 1))),
        Part("loss and its weight", 2 * LOSS_BYTES),
    )


def attention_kind(model: ModelSpec, run: RunSpec) -> str:
    """The attention code that runs.

    Raises:
        Unknown: if the formulas do not cover it.
    """
    kind = run.attention or model.attention or "sdpa"
    if kind not in ("sdpa", "eager"):
        raise Unknown(f"no formula for the attention implementation {kind}")
    return kind


def _block(model: ModelSpec, run: RunSpec, sizes: LlamaSizes) -> tuple[Part, ...]:
    return (
        *_norm(sizes, "norm before attention"),
        *_attention(model, run, sizes),
        Part("counter of the cache", _counter(model) if _cached(model, run) else 0),
        *_norm(sizes, "norm before the MLP"),
        Part(
            "gate, its activation, up and their product",
            4 * sizes.rows * sizes.inner * sizes.element,
        ),
    )


def _norm(sizes: LlamaSizes, name: str) -> tuple[Part, ...]:
    """The norm works in float32: at lower precision it keeps a copy of its input."""
    return (
        Part(f"input of the {name}, in float32", 4 * sizes.rows * sizes.hidden),
        Part(f"{name}, normalised and scaled", 2 * sizes.stream),
        Part(f"{name}, inverse root", 4 * sizes.rows),
    )


def _attention(model: ModelSpec, run: RunSpec, sizes: LlamaSizes) -> tuple[Part, ...]:
    kind = attention_kind(model, run)
    dropout = bool(model.config.get("attention_dropout")) and run.dropout
    if kind == "eager":
        return _eager(sizes, run, _cached(model, run), dropout)
    if dropout:
        raise Unknown("no formula for scaled_dot_product_attention with dropout")
    return _fused(sizes, _cached(model, run), _masked(model, run))


def _fused(sizes: LlamaSizes, cached: bool, masked: bool) -> tuple[Part, ...]:
    parts = (
        Part("queries, rotated", sizes.queries),
        Part("result of attention", sizes.queries),
        Part("log-sum-exp of the scores", 4 * sizes.rows * sizes.heads),
    )
    if not masked:
        return (*parts, Part("keys and values", 2 * sizes.keys))
    mask = Part("mask", sizes.batch * sizes.tokens**2 * sizes.element)
    return (*parts, mask, *_repeated(sizes, cached, fused=True))


def _eager(sizes: LlamaSizes, run: RunSpec, cached: bool, dropout: bool) -> tuple[Part, ...]:
    low = sizes.element < 4
    probabilities = [Part("attention probabilities, in float32", 4 * sizes.scores)]
    if dropout:
        mask = sizes.element if run.device == "cpu" else 1
        kept = (mask + sizes.element) * sizes.scores
        probabilities.append(Part("dropout of the probabilities", kept))
    elif low:
        probabilities.append(Part("attention probabilities", sizes.element * sizes.scores))
    return (
        Part("queries, rotated", sizes.queries),
        Part("result of attention", sizes.queries),
        *probabilities,
        *_repeated(sizes, cached, fused=False),
    )


def _repeated(sizes: LlamaSizes, cached: bool, *, fused: bool) -> tuple[Part, ...]:
    """Keys and values, copied for each query head where several share them.

    A single head is repeated by a view, which only a batched product has to copy.
    """
    if sizes.heads == sizes.groups or (sizes.groups == 1 and (fused or sizes.batch == 1)):
        return (Part("keys and values", 2 * sizes.keys),)
    copies = Part("keys and values, repeated for each head", 2 * sizes.queries)
    held = Part("keys and values in the output's cache", 2 * sizes.keys)
    return (copies, held) if cached else (copies,)


def _cached(model: ModelSpec, run: RunSpec) -> bool:
    """Whether the model's output, held by the program, has a cache that holds keys and values."""
    return bool(model.config.get("use_cache", True)) and run.outputs_kept and not run.recomputes


def _masked(model: ModelSpec, run: RunSpec) -> bool:
    """Whether padding, or a sliding window that is short enough, needs a mask."""
    return run.padded or _windowed(model, run)


def _windowed(model: ModelSpec, run: RunSpec) -> bool:
    window = model.config.get("sliding_window")
    kinds = layer_types(model.config, 1)
    if "sliding_attention" not in kinds or not isinstance(window, int) or run.tokens < window:
        return False
    if set(kinds) != {"sliding_attention"}:
        raise Unknown("no formula for layers with and without a window side by side")
    return True


def _cache_bytes(model: ModelSpec, sizes: LlamaSizes) -> int:
    if not model.config.get("use_cache", True):
        return 0
    return sizes.layers * (2 * sizes.keys + _counter(model))


def _counter(model: ModelSpec) -> int:
    """A layer of a windowed cache keeps the window's length as a tensor."""
    return COUNTER_BYTES if "sliding_attention" in layer_types(model.config, 1) else 0


def _arguments(model: ModelSpec, run: RunSpec, sizes: LlamaSizes) -> tuple[Part, ...]:
    """What blocks are called with besides their input; masks are made before the first block."""
    positions = Part("positions", 8 * sizes.tokens)
    if attention_kind(model, run) == "eager":
        return positions, Part("mask", sizes.batch * sizes.tokens**2 * sizes.element)
    sequences = 1 if _windowed(model, run) else sizes.batch
    return positions, Part("mask", sequences * sizes.tokens**2 if _masked(model, run) else 0)
