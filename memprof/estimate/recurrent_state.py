"""States of models without a growing cache: Mamba, Mamba-2, RWKV. They do not grow with tokens."""

from __future__ import annotations

from typing import Final

from memprof.estimate.cache_layout import Config
from memprof.estimate.result import Estimate, not_estimated

#: Architectures (`model_type`) whose state the formulas know.
STATES: Final = ("mamba", "falcon_mamba", "mamba2", "rwkv")


def recurrent_state(config: Config, batch: int, itemsize: int) -> Estimate:
    """Bytes of a model's recurrent state.

    Args:
        config: of Hugging Face.
        batch: sequences.
        itemsize: bytes of an element of the model's activations.
    """
    kind = config.get("model_type")
    try:
        if kind in ("mamba", "falcon_mamba"):
            return _mamba(config, batch, itemsize)
        if kind == "mamba2":
            return _mamba2(config, batch, itemsize)
        if kind == "rwkv":
            return _rwkv(config, batch, itemsize)
    except KeyError as missing:
        return not_estimated(f"the configuration lacks {missing}")
    return not_estimated(f"no formula for the recurrent state of {kind or 'this model'}")


def _mamba(config: Config, batch: int, itemsize: int) -> Estimate:
    layers, width = config["num_hidden_layers"], config["intermediate_size"]
    state, window = config["state_size"], config["conv_kernel"]
    formula = (
        f"{layers} layers × {width} inner × ({state} state + {window} convolution) × {itemsize} B "
        f"× batch {batch}, at any length"
    )
    return Estimate(layers * width * (state + window) * itemsize * batch, formula)


def _mamba2(config: Config, batch: int, itemsize: int) -> Estimate:
    layers, heads, width = config["num_hidden_layers"], config["num_heads"], config["head_dim"]
    state, window, groups = config["state_size"], config["conv_kernel"], config["n_groups"]
    inner = int(config["expand"] * config["hidden_size"])
    convolved = inner + 2 * groups * state
    formula = (
        f"{layers} layers × ({heads} heads × {width} × {state} state + {convolved} × {window} "
        f"convolution) × {itemsize} B × batch {batch}, at any length"
    )
    nbytes = layers * (heads * width * state + convolved * window) * itemsize * batch
    return Estimate(nbytes, formula)


def _rwkv(config: Config, batch: int, itemsize: int) -> Estimate:
    layers, hidden = config["num_hidden_layers"], config["hidden_size"]
    formula = (
        f"{layers} layers × {hidden} wide × (2 × {itemsize} B + 3 × 4 B) × batch {batch}, "
        "at any length"
    )
    return Estimate(layers * hidden * (2 * itemsize + 3 * 4) * batch, formula)
