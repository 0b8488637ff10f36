"""What transformers' GPT-2 keeps for backward, operation by operation."""

from __future__ import annotations

from dataclasses import replace

from memprof.estimate.activations import Part, Stack, Unknown, number
from memprof.estimate.activations_llama import attention_kind, loss_parts
from memprof.estimate.dtypes import itemsize
from memprof.estimate.model_spec import ModelSpec
from memprof.estimate.run_spec import RunSpec

#: Tensors of the MLP's inner width that each activation function keeps, its result included.
_KEPT = {"gelu_new": 5, "gelu": 2, "gelu_pytorch_tanh": 2, "silu": 2, "relu": 1}


def gpt2_stack(model: ModelSpec, run: RunSpec) -> Stack:
    """What GPT-2 with its language-model head keeps.

    Raises:
        Unknown: if an option is set that the formulas do not cover.
    """
    if model.config.get("reorder_and_upcast_attn"):
        raise Unknown("no formula for reorder_and_upcast_attn")
    if run.parallel.sequence and run.parallel.tp > 1:
        raise Unknown("no formula for sequence parallelism of GPT-2")
    if run.checkpointing == "selective":
        raise Unknown("no formula for selective checkpointing of GPT-2")
    element = itemsize(run.dtype or model.dtype or "float32")
    if run.autocast and (element != 4 or _attention_drops(model, run)):
        raise Unknown("no formula for autocast with these weights or with attention dropout")
    inside = replace(run, dtype=run.autocast, autocast="") if run.autocast else run
    low = itemsize(run.autocast or run.dtype or model.dtype or "float32")
    rows, hidden = run.batch * run.tokens, number(model, "n_embd")
    stream, vocabulary = rows * hidden * element, number(model, "vocab_size")
    cached = _attended(model, inside)
    return Stack(
        layers=number(model, "n_layer"),
        block=(
            *_norm(run, element, low, "norm before attention", rows * hidden),
            *_attention(model, inside, cached),
            *_dropout_mask(model, inside, "resid_pdrop", "dropout mask of attention"),
            *_norm(run, element, low, "norm before the MLP", rows * hidden),
            _mlp(model, rows * low),
            *_dropout_mask(model, inside, "resid_pdrop", "dropout mask of the MLP"),
            Part("weights, cast", _matrices(model) * low if run.autocast else 0),
        ),
        block_input=stream,
        input_within=True,
        around=(
            Part("positions", 8 * run.tokens),
            *_dropout_mask(model, run, "embd_pdrop", "dropout mask of the embeddings"),
        ),
        head=(
            *_norm(run, element, low, "final norm", rows * hidden),
            Part("weight of the head, cast", vocabulary * hidden * low if run.autocast else 0),
            *loss_parts(run, vocabulary, low),
        ),
        outputs=rows * vocabulary * low,
        cache=number(model, "n_layer") * 2 * cached if _caches(model) else 0,
        arguments=(Part("mask", _mask(model, run, element)),),
    )


def _mask(model: ModelSpec, run: RunSpec, element: int) -> int:
    return run.batch * run.tokens**2 * element if attention_kind(model, run) == "eager" else 0


def _matrices(model: ModelSpec) -> int:
    """Elements of the weights of one block's linear layers."""
    hidden = number(model, "n_embd")
    return 4 * hidden * hidden + 2 * hidden * _inner(model)


def _inner(model: ModelSpec) -> int:
    return int(model.config.get("n_inner") or 4 * number(model, "n_embd"))


def _norm(run: RunSpec, element: int, low: int, name: str, elements: int) -> tuple[Part, ...]:
    """The norm keeps its input, and the layer behind it the result, cast under autocast."""
    statistic = element if run.device == "cpu" else 4
    return (
        Part(f"input of the {name}", element * elements),
        Part(name, low * elements),
        Part(f"{name}, mean and deviation", 2 * run.batch * run.tokens * statistic),
    )


def _mlp(model: ModelSpec, row_bytes: int) -> Part:
    function = model.config.get("activation_function", "gelu_new")
    if function not in _KEPT:
        raise Unknown(f"no formula for the activation function {function}")
    kept = _KEPT[function] * _inner(model) * row_bytes
    return Part(f"inner layer of the MLP with {function}", kept)


def _dropout_mask(model: ModelSpec, run: RunSpec, option: str, name: str) -> tuple[Part, ...]:
    if not (run.dropout and model.config.get(option, 0.1)):
        return ()
    elements = run.batch * run.tokens * number(model, "n_embd")
    element = itemsize(run.dtype or model.dtype or "float32") if run.device == "cpu" else 1
    return (Part(name, elements * element),)


def _attention(model: ModelSpec, run: RunSpec, stream: int) -> tuple[Part, ...]:
    kind = attention_kind(model, run)
    dropout = _attention_drops(model, run)
    if kind == "eager":
        return _eager(model, run, stream, dropout)
    if not dropout:
        return _fused(model, run, stream)
    if run.device != "cpu":
        raise Unknown("no formula for scaled_dot_product_attention with dropout on this device")
    return _composed(model, run, stream)


def _fused(model: ModelSpec, run: RunSpec, stream: int) -> tuple[Part, ...]:
    """Queries, keys and values are views of one tensor; the cache has copies of the latter two."""
    cached = _use_cache(model, run)
    element = itemsize(run.dtype or model.dtype or "float32")
    mask = run.batch * run.tokens**2 * element
    statistics = 4 * run.batch * run.tokens * number(model, "n_head")
    return (
        Part("queries, keys and values", 3 * stream),
        Part("keys and values in the cache", 2 * stream if cached else 0),
        Part("result of attention", stream),
        Part("log-sum-exp of the scores", statistics),
        Part("mask", mask if run.padded else 0),
    )


def _attention_drops(model: ModelSpec, run: RunSpec) -> bool:
    return bool(run.dropout and model.config.get("attn_pdrop", 0.1))


def _eager(model: ModelSpec, run: RunSpec, stream: int, dropout: bool) -> tuple[Part, ...]:
    element = itemsize(run.dtype or model.dtype or "float32")
    scores = run.batch * number(model, "n_head") * run.tokens**2
    mask = (element if run.device == "cpu" else 1) + element if dropout else 0
    view = run.batch == 1 and _use_cache(model, run)
    return (
        Part("queries, keys and values", (5 if view else 3) * stream),
        Part("attention probabilities", element * scores),
        Part("dropout of the probabilities", mask * scores),
        Part("result of attention", stream),
    )


def _composed(model: ModelSpec, run: RunSpec, stream: int) -> tuple[Part, ...]:
    """On the CPU attention with dropout is composed of float32 operations."""
    element = itemsize(run.dtype or model.dtype or "float32")
    scores = run.batch * number(model, "n_head") * run.tokens**2
    cached = _use_cache(model, run) and run.outputs_kept
    whole = stream * 4 // element
    copies = 3 * whole
    if element == 4 and run.batch == 1 and not _use_cache(model, run):
        copies += 2 * whole
    held = (1 if element == 4 else 2) * stream if cached else 0
    return (
        Part("queries, keys and values, in float32", copies),
        Part("keys and values in the output's cache", held),
        Part("attention probabilities and their dropout, in float32", 3 * 4 * scores),
        Part("result of attention", stream),
    )


def _attended(model: ModelSpec, run: RunSpec) -> int:
    """Bytes of the queries of one block: as wide as the residual stream on a single device."""
    heads = number(model, "n_head")
    width = model.config.get("head_dim") or number(model, "n_embd") // heads
    element = itemsize(run.dtype or model.dtype or "float32")
    return run.batch * run.tokens * heads * width * element


def _caches(model: ModelSpec) -> bool:
    return bool(model.config.get("use_cache", True))


def _use_cache(model: ModelSpec, run: RunSpec) -> bool:
    return _caches(model) and not run.recomputes
