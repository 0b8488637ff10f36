"""Mamba and Mamba-2: selective state spaces instead of attention.

Gu and Dao, 2312.00752; Dao and Gu, 2405.21060; `modeling_mamba.py`, `modeling_mamba2.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from memprof.estimate.shapes.parts import Config, Named, head, linear


def mamba(config: Config) -> Iterator[Named]:
    """V·h + L(mixer + h) + h, tied; see `mamba_mixer` for the mixer."""
    h, inner = config["hidden_size"], inner_width(config)
    yield "backbone.embeddings.weight", (config["vocab_size"], h)
    for layer in range(config["num_hidden_layers"]):
        block = f"backbone.layers.{layer}"
        yield f"{block}.norm.weight", (h,)
        yield from mamba_mixer(
            f"{block}.mixer",
            hidden=h,
            inner=inner,
            state=config["state_size"],
            window=config["conv_kernel"],
            rank=time_step_rank(config.get("time_step_rank"), h),
            bias=bool(config.get("use_bias")),
            convolution_bias=bool(config.get("use_conv_bias", True)),
        )
    yield "backbone.norm_f.weight", (h,)
    yield from head(config, tied=True)


def mamba_mixer(
    name: str,
    *,
    hidden: int,
    inner: int,
    state: int,
    window: int,
    rank: int,
    bias: bool,
    convolution_bias: bool,
) -> Iterator[Named]:
    """2h·e + e·w + e(r+2n) + r·e + e + e·n + e + e·h for inner width e, state n, rank r."""
    yield f"{name}.A_log", (inner, state)
    yield f"{name}.D", (inner,)
    yield from linear(f"{name}.conv1d", (inner, 1, window), inner * convolution_bias)
    yield from linear(f"{name}.in_proj", (2 * inner, hidden), 2 * inner * bias)
    yield f"{name}.x_proj.weight", (rank + 2 * state, inner)
    yield from linear(f"{name}.dt_proj", (inner, rank), inner)
    yield from linear(f"{name}.out_proj", (hidden, inner), hidden * bias)


def inner_width(config: Config) -> int:
    """The mixer's inner width, told or worked out from its expansion."""
    return int(config.get("intermediate_size") or config["expand"] * config["hidden_size"])


def time_step_rank(told: object, hidden: int) -> int:
    """The rank of the time step's projection: h/16 rounded up unless it is told."""
    return told if isinstance(told, int) else math.ceil(hidden / 16)


def mamba2(config: Config) -> Iterator[Named]:
    """V·h + L(h(2e + 2g·n + H) + (e + 2g·n)(w + 1) + 3H + e + e·h + h) + h, with H heads."""
    h, heads, window = config["hidden_size"], config["num_heads"], config["conv_kernel"]
    inner = int(config["expand"] * h)
    convolved = inner + 2 * config["n_groups"] * config["state_size"]
    bias, rows = bool(config.get("use_bias")), inner + convolved + heads
    yield "backbone.embeddings.weight", (config["vocab_size"], h)
    for layer in range(config["num_hidden_layers"]):
        block = f"backbone.layers.{layer}"
        yield f"{block}.norm.weight", (h,)
        for name in ("dt_bias", "A_log", "D"):
            yield f"{block}.mixer.{name}", (heads,)
        convolution_bias = convolved * bool(config.get("use_conv_bias", True))
        yield from linear(f"{block}.mixer.conv1d", (convolved, 1, window), convolution_bias)
        yield from linear(f"{block}.mixer.in_proj", (rows, h), rows * bias)
        yield f"{block}.mixer.norm.weight", (inner,)
        yield from linear(f"{block}.mixer.out_proj", (h, inner), h * bias)
    yield "backbone.norm_f.weight", (h,)
    yield from head(config)
