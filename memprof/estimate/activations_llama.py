"""What transformers' Llama and its relatives keep for backward, operation by operation.

The code is the eager Python of `modeling_llama.py`; every part below is one saved tensor of it.
"""

from __future__ import annotations

from typing import Final

from memprof.estimate.activations import (
    RNG_STATE_BYTES,
    SHIFTED_LABELS,
    Part,
    Stack,
    Unknown,
    total,
)
from memprof.estimate.activations_autocast import autocast_stack
from memprof.estimate.activations_experts import KNOWN as EXPERTS
from memprof.estimate.activations_experts import expert_parts
from memprof.estimate.activations_norms import head_norms, norm, norm_after
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
    function = model.config.get("hidden_activation") or model.config.get("hidden_act", "silu")
    if function not in GATES:
        raise Unknown(f"no formula for the activation function {function}")
    sizes = sizes_of(model, run)
    selective = run.checkpointing == "selective" and attention_kind(model, run) == "eager"
    if run.autocast:
        return _autocast_stack(model, run, sizes)
    return Stack(
        layers=sizes.layers,
        block=_block(model, run, sizes),
        block_input=sizes.stream,
        input_within=sizes.element == 4,
        around=(
            *_rotations(model, sizes),
            Part("mask", sizes.batch * sizes.tokens**2 * sizes.element if selective else 0),
        ),
        head=(
            *norm(model, sizes, "final norm"),
            *_capped(model, sizes),
            *loss_parts(run, sizes.vocabulary, sizes.element),
            Part("counters of the cache", _other_counters(model, run, sizes)),
        ),
        outputs=sizes.rows * sizes.vocabulary * sizes.element,
        cache=_cache_bytes(model, sizes),
        arguments=_arguments(model, run, sizes),
        again=_made_again(model, run, sizes) if selective else 0,
    )


def _autocast_stack(model: ModelSpec, run: RunSpec, sizes: LlamaSizes) -> Stack:
    if attention_kind(model, run) != "sdpa" or _masked(model, run):
        raise Unknown("no formula for autocast with this attention")
    if sizes.element != 4 or model.config.get("attention_dropout"):
        raise Unknown("no formula for autocast with these weights or with attention dropout")
    if model.model_type.startswith("gemma"):
        raise Unknown("no formula for what autocast keeps of Gemma")
    return autocast_stack(
        model,
        sizes,
        run,
        cached=_cached(model, run),
        loss=loss_parts(run, sizes.vocabulary, sizes.element),
    )


def _rotations(model: ModelSpec, sizes: LlamaSizes) -> tuple[Part, ...]:
    """Cosines and sines are shared by all layers, or in Gemma 3 by all of one kind."""
    kinds = 1
    if model.model_type == "gemma3_text":
        kinds = len(set(layer_types(model.config, sizes.layers)))
    rotary = 2 * sizes.tokens * sizes.width * sizes.element
    return (Part("cosines and sines of the positions", kinds * rotary),)


def _capped(model: ModelSpec, sizes: LlamaSizes) -> tuple[Part, ...]:
    """Gemma 2 bounds its logits by a hyperbolic tangent, whose result it keeps."""
    if not model.config.get("final_logit_softcapping"):
        return ()
    return (Part("bounded logits", sizes.rows * sizes.vocabulary * sizes.element),)


def loss_parts(run: RunSpec, vocabulary: int, element: int) -> tuple[Part, ...]:
    """What the loss of a causal language model keeps.

    transformers' own works in float32 at any dtype, and on labels that it has shifted; those of a
    single sequence are a view of the padded ones, one longer. Autocast casts to float32 as well.

    Args:
        run: tells how the loss is computed.
        vocabulary: number of logits of a token.
        element: bytes of one.
    """
    rows = run.batch * run.tokens
    wide = 4 if run.autocast or run.loss != "cross_entropy" else element
    shifted = 8 * (rows + (run.batch == 1)) if run.loss == "model" else 0
    return (
        Part("log-softmax of the logits", wide * rows * vocabulary),
        Part(SHIFTED_LABELS, shifted),
        Part("loss and its weight", 2 * wide),
    )


def attention_kind(model: ModelSpec, run: RunSpec) -> str:
    """The attention code that runs.

    Raises:
        Unknown: if the formulas do not cover it.
    """
    usual = "eager" if model.model_type == "gemma2" else "sdpa"
    kind = run.attention or model.attention or usual
    if kind not in ("sdpa", "eager"):
        raise Unknown(f"no formula for the attention implementation {kind}")
    return kind


def _block(model: ModelSpec, run: RunSpec, sizes: LlamaSizes) -> tuple[Part, ...]:
    counted = _counter(model, sizes) if _cached(model, run) else 0
    return (
        *norm(model, sizes, "norm before attention"),
        *head_norms(model, sizes, sizes.element),
        *_attention(model, run, sizes),
        Part("counter of the cache", counted),
        *norm_after(model, sizes, "norm after attention"),
        *norm(model, sizes, "norm before the MLP"),
        *_mlp(model, sizes),
        *norm_after(model, sizes, "norm after the MLP"),
    )


def _mlp(model: ModelSpec, sizes: LlamaSizes) -> tuple[Part, ...]:
    if model.model_type in EXPERTS:
        return expert_parts(model, sizes, sizes.element, sizes.element)
    whole = 4 * sizes.rows * sizes.inner * sizes.element
    return (Part("gate, its activation, up and their product", whole),)


def _attention(model: ModelSpec, run: RunSpec, sizes: LlamaSizes) -> tuple[Part, ...]:
    kind = attention_kind(model, run)
    dropout = bool(model.config.get("attention_dropout")) and run.dropout
    if kind == "eager" and run.checkpointing == "selective":
        return (
            Part("queries, rotated", sizes.queries),
            Part("keys and values", 2 * sizes.keys),
            Part("result of attention", sizes.queries),
            Part("random numbers' state", RNG_STATE_BYTES.get(run.device, 0)),
        )
    if kind == "eager":
        return (
            Part("queries, rotated", sizes.queries),
            Part("result of attention", sizes.queries),
            *_scores(model, run, sizes),
        )
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


def _scores(model: ModelSpec, run: RunSpec, sizes: LlamaSizes) -> tuple[Part, ...]:
    """What eager attention keeps of its scores, and of the keys and values that it copies."""
    wide = 4 * sizes.scores
    bounded = bool(model.config.get("attn_logit_softcapping"))
    return (
        Part("attention probabilities, in float32", wide),
        *_probabilities(model, run, sizes),
        *_repeated(sizes, _cached(model, run), fused=False),
        Part("bounded scores", sizes.element * sizes.scores if bounded else 0),
    )


def _made_again(model: ModelSpec, run: RunSpec, sizes: LlamaSizes) -> int:
    """Scores and copies of keys and values, but not what is kept of these anyway."""
    return total(_scores(model, run, sizes)) - (
        2 * sizes.keys if sizes.heads == sizes.groups or _cached(model, run) else 0
    )


def _probabilities(model: ModelSpec, run: RunSpec, sizes: LlamaSizes) -> tuple[Part, ...]:
    if model.config.get("attention_dropout") and run.dropout:
        mask = sizes.element if run.device == "cpu" else 1
        return (Part("dropout of the probabilities", (mask + sizes.element) * sizes.scores),)
    low = sizes.element if sizes.element < 4 else 0
    return (Part("attention probabilities", low * sizes.scores),)


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
    counters = COUNTER_BYTES * layer_types(model.config, sizes.layers).count("sliding_attention")
    return sizes.layers * 2 * sizes.keys + counters


def _counter(model: ModelSpec, sizes: LlamaSizes) -> int:
    """A layer of a windowed cache keeps the window's length as a tensor."""
    kinds = set(layer_types(model.config, sizes.layers))
    return COUNTER_BYTES if kinds == {"sliding_attention"} else 0


def _other_counters(model: ModelSpec, run: RunSpec, sizes: LlamaSizes) -> int:
    """The same of models where some layers have a window and others have none."""
    kinds = layer_types(model.config, sizes.layers)
    if len(set(kinds)) == 1 or not _cached(model, run):
        return 0
    return COUNTER_BYTES * kinds.count("sliding_attention")


def _arguments(model: ModelSpec, run: RunSpec, sizes: LlamaSizes) -> tuple[Part, ...]:
    """What blocks are called with besides their input; masks are made before the first block."""
    positions = Part("positions", 8 * sizes.tokens)
    if attention_kind(model, run) == "eager":
        kinds = len(set(layer_types(model.config, sizes.layers)))
        return positions, Part("mask", kinds * sizes.batch * sizes.tokens**2 * sizes.element)
    sequences = 1 if _windowed(model, run) else sizes.batch
    return positions, Part("mask", sequences * sizes.tokens**2 if _masked(model, run) else 0)
