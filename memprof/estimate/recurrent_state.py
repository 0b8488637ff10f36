"""States of models without a growing cache: Mamba, Mamba-2, RWKV. They do not grow with tokens."""

from __future__ import annotations

from typing import Final

from memprof.estimate.cache_layout import Config, layer_types
from memprof.estimate.result import Estimate, not_estimated

#: Scans work in float32 and keep their states so, the first Mamba's in float64 where that is used.
SCAN_BYTES: Final = 4
#: Architectures (`model_type`) whose state the formulas know.
STATES: Final = ("mamba", "falcon_mamba", "mamba2", "rwkv")


def recurrent_state(
    config: Config, batch: int, itemsize: int, *, reordered: bool = False
) -> Estimate:
    """Bytes of a model's recurrent state.

    Args:
        config: of Hugging Face.
        batch: sequences.
        itemsize: bytes of an element of the model's activations.
        reordered: whether beam search rearranges the sequences, one tensor at a time.
    """
    kind = config.get("model_type")
    try:
        if kind in ("mamba", "falcon_mamba"):
            return _mamba(config, batch, itemsize, reordered)
        if kind == "mamba2":
            return _mamba2(config, batch, itemsize, reordered)
        if kind == "rwkv":
            return _rwkv(config, batch, itemsize)
        if kind == "jamba":
            return _jamba(config, batch, itemsize, reordered)
    except KeyError as missing:
        return not_estimated(f"the configuration lacks {missing}")
    return not_estimated(f"no formula for the recurrent state of {kind or 'this model'}")


def _mamba(config: Config, batch: int, itemsize: int, reordered: bool) -> Estimate:
    layers, width = config["num_hidden_layers"], config["intermediate_size"]
    state, window = config["state_size"], config["conv_kernel"]
    scan = max(SCAN_BYTES, itemsize)
    formula = (
        f"{layers} layers × {width} inner × ({state} state × {scan} B + {window} convolution "
        f"× {itemsize} B) × batch {batch}, at any length"
    )
    scanned, kept = width * state * scan * batch, width * window * itemsize * batch
    return _states(layers, scanned, kept, formula, reordered)


def _jamba(config: Config, batch: int, itemsize: int, reordered: bool) -> Estimate:
    """The states of its Mamba layers; its layers of attention have keys and values."""
    mixers = {
        "num_hidden_layers": layer_types(config, config["num_hidden_layers"]).count("mamba"),
        "intermediate_size": int(config["mamba_expand"] * config["hidden_size"]),
        "state_size": config["mamba_d_state"],
        "conv_kernel": config["mamba_d_conv"],
    }
    return _mamba(mixers, batch, itemsize, reordered)


def _mamba2(config: Config, batch: int, itemsize: int, reordered: bool) -> Estimate:
    layers, heads, width = config["num_hidden_layers"], config["num_heads"], config["head_dim"]
    state, window, groups = config["state_size"], config["conv_kernel"], config["n_groups"]
    convolved = int(config["expand"] * config["hidden_size"]) + 2 * groups * state
    formula = (
        f"{layers} layers × ({heads} heads × {width} × {state} state × {SCAN_BYTES} B + "
        f"{convolved} × {window} convolution × {itemsize} B) × batch {batch}, at any length"
    )
    scanned = heads * width * state * SCAN_BYTES * batch
    return _states(layers, scanned, convolved * window * itemsize * batch, formula, reordered)


def _states(layers: int, scanned: int, kept: int, formula: str, reordered: bool) -> Estimate:
    """States of all layers; while they are rearranged the largest of them is there twice."""
    whole = layers * (scanned + kept)
    if not reordered:
        return Estimate(whole, formula)
    twice = max(scanned, kept)
    return Estimate(whole + twice, f"{formula}, and {twice:,} B while beams are rearranged")


def _rwkv(config: Config, batch: int, itemsize: int) -> Estimate:
    layers, hidden = config["num_hidden_layers"], config["hidden_size"]
    formula = (
        f"{layers} layers × {hidden} wide × (2 × {itemsize} B + 3 × 4 B) × batch {batch}, "
        "at any length"
    )
    return Estimate(layers * hidden * (2 * itemsize + 3 * 4) * batch, formula)
