"""What one device holds of a model that several share.

Tensor parallelism as in Megatron-LM (1909.08053): matrices are split by columns, then by rows, the
vocabulary too; norms and routers are whole everywhere; keys and values are repeated where there are
more devices than key-value heads. A pipeline (2104.04473) has the embedding on its first device and
the head on its last. Experts are split whole. FSDP splits every parameter by its first size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from memprof.errors import UsageError
from memprof.estimate.cache_layout import first_of, layer_types
from memprof.estimate.experts import EXPERTS
from memprof.estimate.model_spec import ModelSpec, TensorSpec
from memprof.estimate.run_parts import Parallelism

_LAYERS: Final = ("num_hidden_layers", "n_layer")
_HEADS: Final = ("num_attention_heads", "n_head")
_KEYS: Final = ("num_key_value_heads", "num_kv_heads")
#: Ends of the names of what is split along the output, and of what is split along the input.
_COLUMNS: Final = (
    *("q_proj", "gate_proj", "up_proj", "gate_up_proj", "qkv_proj", "fc1", "q_b_proj", "kv_b_proj"),
    *("query_key_value", "dense_h_to_4h", "lm_head", "embed_tokens", "word_embeddings", "wte"),
    *("embeddings", "in_proj", "conv1d", "dt_proj", "A_log", "D", "sinks"),
)
_ROWS: Final = ("o_proj", "down_proj", "dense", "fc2", "dense_4h_to_h", "out_proj", "x_proj")
_KEY_VALUE: Final = ("k_proj", "v_proj")
#: Queries, keys and values in one matrix.
_JOINT: Final = ("qkv_proj", "query_key_value")
#: GPT-2 keeps its matrices with the input first.
_TRANSPOSED: Final = {"c_attn": 1, "c_fc": 1, "c_proj": 0}
#: Two devices that have more of a model than this do not have it split.
_MOSTLY: Final = 0.75
#: Architectures that nobody splits in this way.
_WHOLE: Final = ("mamba2", "rwkv", "hyenadna")


@dataclass(frozen=True, slots=True)
class Share:
    """What one device has of a run.

    Attributes:
        model: the part of the model that it works with, its sizes in the configuration.
        stage: which part of the pipeline it is.
        first, last: whether it has the embedding, and the head.
    """

    model: ModelSpec
    stage: int
    first: bool
    last: bool


def share(model: ModelSpec, parallel: Parallelism, stage: int) -> Share:
    """The part of a model that a device of one stage of the pipeline has.

    Raises:
        UsageError: if the model cannot be split so.
    """
    check(model, parallel)
    first, last = stage == 0, stage == parallel.pp - 1
    part = model if parallel.pp == 1 else _stage(model, parallel, stage)
    if parallel.tp > 1 or parallel.ep > 1:
        whole, part = part, _split(part, parallel)
        if parallel.tp > 1 and _elements(part) > _MOSTLY * _elements(whole):
            raise UsageError(
                f"no formula for tensor parallelism of {model.root}: the names of its layers do "
                "not tell which of them are split"
            )
    return Share(part, stage, first, last)


def _elements(model: ModelSpec) -> int:
    return sum(tensor.elements for tensor in model.parameters)


def check(model: ModelSpec, parallel: Parallelism) -> None:
    """Refuses what cannot be: raises UsageError, with the numbers, where something does not fit."""
    config = model.config
    heads, layers = first_of(config, _HEADS), first_of(config, _LAYERS)
    experts, keys = first_of(config, EXPERTS), _key_heads(config) if heads else None
    if parallel.tp > 1 and model.model_type in _WHOLE:
        raise UsageError(f"no formula for tensor parallelism of {model.model_type} models")
    for what, number, by in (
        ("attention heads", heads, parallel.tp),
        ("experts", experts if parallel.ep > 1 else None, parallel.ep),
    ):
        if number is not None and number % by:
            dividing = ", ".join(str(each) for each in range(1, number + 1) if number % each == 0)
            raise UsageError(
                f"{number} {what} cannot be split evenly among {by} devices: choose {dividing}"
            )
    if parallel.ep > 1 and experts is None:
        raise UsageError(f"ep is {parallel.ep}, and the model has no experts")
    if keys is not None and keys % parallel.tp and parallel.tp % keys:
        raise UsageError(f"{keys} key-value heads cannot be split among {parallel.tp} devices")
    if layers is None and parallel.pp > 1:
        raise UsageError("the configuration does not tell the number of layers to spread")
    if layers is not None and layers < parallel.pp:
        raise UsageError(f"{layers} layers cannot be spread over {parallel.pp} stages")


def sharded(tensor: TensorSpec, devices: int) -> TensorSpec:
    """What the first of several devices keeps of a parameter that FSDP splits by its first size."""
    if not tensor.shape or devices == 1:
        return tensor
    rows = math.ceil(tensor.shape[0] / devices)
    return replace(tensor, shape=(rows, *tensor.shape[1:]))


def stage_layers(layers: int, stages: int, stage: int) -> range:
    """The layers of one stage; the first ones have one more where they do not divide evenly."""
    each, more = divmod(layers, stages)
    begin = stage * each + min(stage, more)
    return range(begin, begin + each + (stage < more))


def _stage(model: ModelSpec, parallel: Parallelism, stage: int) -> ModelSpec:
    layers = first_of(model.config, _LAYERS) or 0
    own = stage_layers(layers, parallel.pp, stage)
    kept = [
        tensor
        for place, tensor in enumerate(model.parameters)
        if _belongs(model, place, own, stage, parallel.pp)
    ]
    config = {**model.config, **_set(model.config, _LAYERS, len(own))}
    kinds = layer_types(model.config, layers)
    if len(set(kinds)) > 1:
        config["layer_types"] = kinds[own.start : own.stop]
    return replace(model, config=config, parameters=tuple(kept))


def _belongs(model: ModelSpec, place: int, own: range, stage: int, stages: int) -> bool:
    tensor = model.parameters[place]
    layer = next((int(part) for part in tensor.name.split(".") if part.isdigit()), None)
    if layer is not None:
        return layer in own
    before = place < next((i for i, t in enumerate(model.parameters) if ".0." in t.name), 0)
    if not before:
        return stage == stages - 1
    tied = not any("head" in each.name for each in model.parameters) and place == 0
    return stage == 0 or (tied and stage == stages - 1)


def _split(model: ModelSpec, parallel: Parallelism) -> ModelSpec:
    keys = _key_heads(model.config)
    heads = first_of(model.config, _HEADS) or 1
    sizes = _Sizes(parallel, heads, keys, output_last=model.model_type == "gpt_oss")
    tensors = tuple(_local(tensor, sizes) for tensor in model.parameters)
    return replace(model, parameters=tensors, config=_local_config(model.config, parallel))


@dataclass(frozen=True, slots=True)
class _Sizes:
    parallel: Parallelism
    heads: int
    keys: int
    output_last: bool


def _local(tensor: TensorSpec, sizes: _Sizes) -> TensorSpec:
    parts = tensor.name.split(".")
    last, tp = parts[-1], sizes.parallel.tp
    owner = parts[-2] if last in ("weight", "bias") and len(parts) > 1 else last
    shape = list(tensor.shape)
    if "experts" in parts:
        return replace(tensor, shape=_local_experts(shape, owner, sizes))
    place = _place(owner, last)
    if place is None or place >= len(shape):
        return tensor
    if owner in _JOINT:
        width = shape[place] // (sizes.heads + 2 * sizes.keys)
        shape[place] = (sizes.heads // tp + 2 * max(sizes.keys // tp, 1)) * width
    else:
        by = min(tp, sizes.keys) if owner in _KEY_VALUE else tp
        shape[place] = math.ceil(shape[place] / by)
    return replace(tensor, shape=tuple(shape))


def _local_experts(shape: list[int], owner: str, sizes: _Sizes) -> tuple[int, ...]:
    """Each device has some of the experts, and of these its part of their inner width."""
    experts, *rest = shape
    up = owner.startswith("gate_up_proj")
    biases = 0 if up else None
    place = biases if len(rest) == 1 else int(up == sizes.output_last)
    if place is not None:
        rest[place] //= sizes.parallel.tp
    return (experts // sizes.parallel.ep, *rest)


def _key_heads(config: Mapping[str, Any]) -> int:
    if config.get("model_type") == "falcon" and not config.get("new_decoder_architecture"):
        return 1 if config.get("multi_query", True) else first_of(config, _HEADS) or 1
    return first_of(config, _KEYS) or first_of(config, _HEADS) or 1


def _place(owner: str, last: str) -> int | None:
    """Which size of a tensor is split; None where every device has all of it."""
    if owner in _TRANSPOSED:
        if last == "bias":
            return None if owner == "c_proj" else 0
        return _TRANSPOSED[owner]
    if owner in _COLUMNS or owner in _KEY_VALUE:
        return 0
    if owner in _ROWS:
        return None if last == "bias" else 1
    return None


def _local_config(config: Mapping[str, Any], parallel: Parallelism) -> dict[str, Any]:
    """The configuration in one device's sizes, for the formulas of activations and caches."""
    tp = parallel.tp
    heads = first_of(config, _HEADS)
    local = dict(config)
    if heads is not None and tp > 1:
        width = config.get("hidden_size") or config.get("n_embd") or 0
        local["head_dim"] = config.get("head_dim") or width // heads
        local |= _set(config, _HEADS, heads // tp)
        keys = first_of(config, _KEYS)
        if keys is not None:
            local |= _set(config, _KEYS, max(keys // tp, 1))
    if config.get("model_type") == "gpt2":
        local["n_inner"] = config.get("n_inner") or 4 * config["n_embd"]
    for name in ("intermediate_size", "moe_intermediate_size", "n_inner", "ffn_hidden_size"):
        if isinstance(local.get(name), int):
            local[name] = math.ceil(local[name] / tp)
    if isinstance(config.get("vocab_size"), int):
        local["vocab_size"] = math.ceil(config["vocab_size"] / tp)
    if "mamba_expand" in config:
        local["mamba_expand"] = config["mamba_expand"] / tp
    experts = first_of(config, EXPERTS)
    if experts is not None:
        local |= _set(config, EXPERTS, experts // parallel.ep)
    return local


def _set(config: Mapping[str, Any], names: tuple[str, ...], value: int) -> dict[str, int]:
    """The first of several names that a configuration has, with another value."""
    return {next(name for name in names if isinstance(config.get(name), int)): value}
