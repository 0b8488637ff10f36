"""What a Llama-like model with float32 weights keeps under autocast.

Autocast casts each weight once, and an input once for each layer that reads it; the graph keeps
all casts. The residual stream and the norms stay in float32.
"""

from __future__ import annotations

from memprof.estimate.activations import Part, Stack
from memprof.estimate.activations_experts import KNOWN as EXPERTS
from memprof.estimate.activations_experts import expert_parts
from memprof.estimate.activations_norms import head_norms
from memprof.estimate.dtypes import itemsize
from memprof.estimate.experts import expert_counts
from memprof.estimate.llama_sizes import LlamaSizes
from memprof.estimate.model_spec import ModelSpec
from memprof.estimate.run_spec import RunSpec


def autocast_stack(
    model: ModelSpec, sizes: LlamaSizes, run: RunSpec, *, cached: bool, loss: tuple[Part, ...]
) -> Stack:
    """What a model with fused attention keeps under autocast.

    Args:
        model: with its configuration.
        sizes: of the model with its float32 weights.
        run: names the dtype of autocast.
        cached: whether the program holds a cache of keys and values.
        loss: what the loss keeps.
    """
    low = itemsize(run.autocast)
    narrow = sizes.stream * low // 4
    logits = sizes.rows * sizes.vocabulary * low
    head = sizes.vocabulary * sizes.hidden * low
    return Stack(
        layers=sizes.layers,
        block=(
            *_norm(sizes, "norm before attention"),
            *head_norms(model, sizes, low),
            *_attention(sizes, low, cached),
            *_norm(sizes, "norm before the MLP"),
            *_mlp(model, sizes, low),
        ),
        block_input=sizes.stream,
        input_within=True,
        around=(Part("cosines and sines of the positions", 2 * sizes.tokens * sizes.width * 4),),
        head=(
            *_norm(sizes, "final norm"),
            Part("input and weight of the head, cast", narrow + head),
            *loss,
        ),
        outputs=logits,
        cache=sizes.layers * 2 * sizes.keys if cached else 0,
        arguments=(Part("positions", 8 * sizes.tokens),),
    )


def _mlp(model: ModelSpec, sizes: LlamaSizes, low: int) -> tuple[Part, ...]:
    """Grouped products of experts are not cast: of these the router's is cast alone."""
    narrow = sizes.rows * sizes.hidden * low
    if model.model_type in EXPERTS:
        router = expert_counts(model)[0] * sizes.hidden * low
        return (
            Part("input and weight of the router, cast", narrow + router),
            *expert_parts(model, sizes, sizes.element, low),
        )
    return (
        Part("input of the MLP, cast twice", 2 * narrow),
        Part("gate, its activation, up and their product", 4 * sizes.rows * sizes.inner * low),
        Part("weights of the MLP, cast", 3 * sizes.hidden * sizes.inner * low),
    )


def _norm(sizes: LlamaSizes, name: str) -> tuple[Part, ...]:
    return (
        Part(f"input of the {name}", sizes.stream),
        Part(f"{name}, normalised", sizes.stream),
        Part(f"{name}, inverse root", 4 * sizes.stream_rows),
    )


def _attention(sizes: LlamaSizes, low: int, cached: bool) -> tuple[Part, ...]:
    queries, keys = sizes.heads * sizes.width, sizes.groups * sizes.width
    weights = 2 * sizes.hidden * (queries + keys) * low
    return (
        Part("input of attention, cast thrice", 3 * sizes.rows * sizes.hidden * low),
        Part("weights of attention, cast", weights),
        Part("queries, keys and values, cast", sizes.rows * (queries + 2 * keys) * low),
        Part("result of attention", sizes.rows * queries * low),
        Part("log-sum-exp of the scores", 4 * sizes.rows * sizes.heads),
        Part("keys and values in the output's cache", 2 * sizes.keys if cached else 0),
    )
