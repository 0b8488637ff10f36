"""What each layer of a model puts into a cache of keys and values, read from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Config = Mapping[str, Any]

#: Names under which configurations of transformers tell the same thing; the first found counts.
_LAYERS: Final = ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers")
_HEADS: Final = ("num_attention_heads", "n_head", "num_heads", "n_heads", "decoder_attention_heads")
_WIDTH: Final = ("hidden_size", "n_embd", "d_model")
_WINDOWED: Final = ("sliding_attention", "chunked_attention")
_PLAIN: Final = ("full_attention", "attention", *_WINDOWED)
_WITHOUT_KEYS: Final = ("linear_attention", "conv", "mamba", "moe", "mlp")
_STATEFUL: Final = ("linear_attention", "conv", "mamba", "mixed", "hybrid", "hybrid_sliding")
#: Every so-manieth layer attends to everything where the configuration does not tell.
_RHYTHMS: Final = {"gemma2": 2, "gemma3_text": 6, "gpt_oss": 2}
#: Options of models that mix kinds of layers, and whose configuration may not tell which is which.
_MIXED: Final = ("mamba_d_state", "block_types")


@dataclass(frozen=True, slots=True)
class CacheLayer:
    """Keys and values of one layer.

    Attributes:
        heads: key-value heads.
        key_width, value_width: elements of a head.
        window: tokens that a sliding window reaches back; None where it reaches back to the first.
    """

    heads: int
    key_width: int
    value_width: int
    window: int | None = None

    @property
    def elements(self) -> int:
        """Elements of keys and values for one token of one sequence."""
        return self.heads * (self.key_width + self.value_width)


@dataclass(frozen=True, slots=True)
class CacheLayout:
    """The layers of a model's cache.

    Attributes:
        layers: of self-attention, in the model's order.
        cross: of cross-attention, which holds the encoder's tokens.
    """

    layers: tuple[CacheLayer, ...]
    cross: tuple[CacheLayer, ...] = ()

    @property
    def elements_per_token(self) -> int:
        """Elements that one more token of one sequence adds while no window is full."""
        return sum(layer.elements for layer in self.layers)


def cache_layout(config: Config) -> CacheLayout | str:
    """Reads the layout from a configuration; where it does not tell, the reason why."""
    text = decoder_config(config)
    depth = first_of(text, _LAYERS) or len(_told_types(text)) or None
    heads = first_of(text, _HEADS)
    if depth is None or heads is None:
        return "the configuration does not tell the number of layers and heads"
    if text.get("is_encoder_decoder"):
        return _encoder_decoder(text, heads)
    kinds = layer_types(text, depth)
    strange = next((kind for kind in kinds if kind not in (*_PLAIN, *_WITHOUT_KEYS)), None)
    if strange is not None:
        return f"no formula for the cache of {strange} layers"
    if _widths(text, heads) is None:
        return "the configuration does not tell the width of a head"
    storing = depth - (first_of(text, ("num_kv_shared_layers",)) or 0)
    layers = (_layer(text, place, kind, heads) for place, kind in enumerate(kinds[:storing]))
    return CacheLayout(tuple(layer for layer in layers if layer is not None))


def has_recurrent_layers(config: Config) -> bool:
    """Whether some layers keep a state of fixed size, besides or instead of keys and values."""
    text = decoder_config(config)
    return any(kind in _STATEFUL for kind in layer_types(text, first_of(text, _LAYERS) or 1))


def decoder_config(config: Config) -> Config:
    """The part of a configuration that describes the language model."""
    nested = config.get("text_config") or config.get("decoder")
    return nested if isinstance(nested, Mapping) else config


def first_of(config: Config, names: tuple[str, ...]) -> int | None:
    """The first integer that a configuration has under one of several names."""
    return next((value for name in names if isinstance(value := config.get(name), int)), None)


def layer_types(config: Config, depth: int) -> list[str]:
    """The kind of every layer, as transformers infers it where it is not told."""
    if told := _told_types(config):
        return told
    attending = _attending(config, depth)
    if attending is not None:
        return ["full_attention" if layer in attending else "mamba" for layer in range(depth)]
    if any(config.get(name) is not None for name in _MIXED):
        return ["mixed"] * depth
    if config.get("sliding_window") and config.get("use_sliding_window", True):
        return _windowed_types(config, depth)
    if config.get("attention_chunk_size"):
        return ["chunked_attention"] * depth
    return ["full_attention"] * depth


def _windowed_types(config: Config, depth: int) -> list[str]:
    """Which layers have the window: all, or all but every so-manieth, or those from one on."""
    rhythm = config.get("sliding_window_pattern") or _RHYTHMS.get(str(config.get("model_type")))
    if isinstance(rhythm, int):
        return [_kind((layer + 1) % rhythm != 0) for layer in range(depth)]
    first = config.get("max_window_layers") or 0
    return [_kind(layer >= first) for layer in range(depth)]


def _kind(windowed: bool) -> str:
    return "sliding_attention" if windowed else "full_attention"


def _told_types(config: Config) -> list[str]:
    told = config.get("layer_types") or config.get("layers_block_type")
    return [str(kind) for kind in told] if isinstance(told, list) else []


def _attending(config: Config, depth: int) -> list[int] | None:
    """Numbers of the layers with attention, where a configuration lists them or tells a rhythm."""
    listed = config.get("attn_layer_indices")
    if isinstance(listed, list):
        return listed
    rhythm, offset = config.get("attn_layer_period"), config.get("attn_layer_offset")
    if isinstance(rhythm, int) and isinstance(offset, int):
        return list(range(offset, depth, rhythm))
    return None


def _encoder_decoder(config: Config, heads: int) -> CacheLayout | str:
    depth = first_of(config, ("num_decoder_layers", "decoder_layers", *_LAYERS))
    own = first_of(config, ("decoder_attention_heads",)) or heads
    width = first_of(config, _WIDTH)
    head = first_of(config, ("d_kv",)) or (width // own if width else None)
    if depth is None or head is None:
        return "the configuration does not tell the decoder's layers and the width of a head"
    layers = (CacheLayer(own, head, head),) * depth
    return CacheLayout(layers, cross=layers)


def _layer(config: Config, place: int, kind: str, heads: int) -> CacheLayer | None:
    """What one layer keeps, with what the configuration says of this layer alone."""
    unlike = config.get("per_layer_config") or {}
    own = {**config, **(unlike.get(str(place)) or unlike.get(place) or {})}
    widths = _widths(own, heads)
    if kind in _WITHOUT_KEYS or widths is None:
        return None
    return CacheLayer(_key_value_heads(own, heads), *widths, _window(own, kind))


def _widths(config: Config, heads: int) -> tuple[int, int] | None:
    if _latent(config):
        return config["kv_lora_rank"], config["qk_rope_head_dim"]
    told, width = config.get("head_dim"), first_of(config, _WIDTH)
    head = told if isinstance(told, int) else width // heads if width else None
    return None if head is None else (head, head)


def _latent(config: Config) -> bool:
    """Whether keys and values are cached compressed, as DeepSeek's: one latent for all heads.

    Since huggingface/transformers#47761 the latent and the rotated part of the keys are what is
    kept; releases before it kept the expanded heads.
    """
    return all(isinstance(config.get(name), int) for name in ("kv_lora_rank", "qk_rope_head_dim"))


def _key_value_heads(config: Config, heads: int) -> int:
    if _latent(config):
        return 1
    if config.get("new_decoder_architecture"):  # Falcon copies them for each head, then caches
        return heads
    if config.get("multi_query"):
        return 1
    groups = config.get("num_key_value_heads", config.get("num_kv_heads"))
    return groups if isinstance(groups, int) else heads


def _window(config: Config, kind: str) -> int | None:
    if kind not in _WINDOWED:
        return None
    name = "sliding_window" if kind == "sliding_attention" else "attention_chunk_size"
    window = config.get(name)
    return window if isinstance(window, int) else None
