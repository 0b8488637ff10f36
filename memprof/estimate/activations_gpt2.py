"""What transformers' GPT-2 keeps for backward, operation by operation."""

from __future__ import annotations

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
    config = model.config
    if run.autocast:
        raise Unknown("no formula for what autocast keeps of GPT-2")
    if config.get("reorder_and_upcast_attn"):
        raise Unknown("no formula for reorder_and_upcast_attn")
    rows, hidden = run.batch * run.tokens, number(model, "n_embd")
    element = itemsize(run.dtype or model.dtype or "float32")
    stream = rows * hidden * element
    vocabulary = number(model, "vocab_size")
    mask = run.tokens * rows * element if attention_kind(model, run) == "eager" else 0
    positions = Part("positions", 8 * run.tokens)
    return Stack(
        layers=number(model, "n_layer"),
        block=(
            *_norm(run, element, "norm before attention", stream),
            *_attention(model, run, _attended(model, run)),
            *_dropout_mask(model, run, "resid_pdrop", "dropout mask of attention", stream),
            *_norm(run, element, "norm before the MLP", stream),
            _mlp(model, rows * element),
            *_dropout_mask(model, run, "resid_pdrop", "dropout mask of the MLP", stream),
        ),
        block_input=stream,
        input_within=True,
        around=(
            positions,
            *_dropout_mask(model, run, "embd_pdrop", "dropout mask of the embeddings", stream),
        ),
        head=(*_norm(run, element, "final norm", stream), *loss_parts(run, vocabulary)),
        outputs=rows * vocabulary * element,
        cache=number(model, "n_layer") * 2 * _attended(model, run) if _caches(model) else 0,
        arguments=(Part("mask", mask),),
    )


def _norm(run: RunSpec, element: int, name: str, stream: int) -> tuple[Part, ...]:
    statistic = element if run.device == "cpu" else 4
    return (
        Part(f"input of the {name}", stream),
        Part(name, stream),
        Part(f"{name}, mean and deviation", 2 * run.batch * run.tokens * statistic),
    )


def _mlp(model: ModelSpec, row_bytes: int) -> Part:
    function = model.config.get("activation_function", "gelu_new")
    if function not in _KEPT:
        raise Unknown(f"no formula for the activation function {function}")
    inner = model.config.get("n_inner") or 4 * number(model, "n_embd")
    return Part(f"inner layer of the MLP with {function}", _KEPT[function] * inner * row_bytes)


def _dropout_mask(
    model: ModelSpec, run: RunSpec, option: str, name: str, stream: int
) -> tuple[Part, ...]:
    if not (run.dropout and model.config.get(option, 0.1)):
        return ()
    element = itemsize(run.dtype or model.dtype or "float32")
    return (Part(name, stream if run.device == "cpu" else stream // element),)


def _attention(model: ModelSpec, run: RunSpec, stream: int) -> tuple[Part, ...]:
    kind = attention_kind(model, run)
    dropout = bool(run.dropout and model.config.get("attn_pdrop", 0.1))
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
