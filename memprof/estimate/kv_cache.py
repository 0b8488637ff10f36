"""Keys and values of generation: what a cache of transformers holds, and its highest moment.

A growing cache is replaced, one layer's keys or values at a time, by a longer copy; while the copy
is made the old one is still there. The highest moment therefore lies above what is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from memprof.estimate.cache_layout import CacheLayer, CacheLayout
from memprof.estimate.result import Estimate, not_estimated

#: A 0-dimensional int64 that each windowed or static layer keeps for its own bookkeeping.
COUNTER_BYTES: Final = 8


class Call(NamedTuple):
    """One call of the model: `batch` sequences of `tokens` new tokens after `context` cached."""

    batch: int
    tokens: int
    context: int


@dataclass(frozen=True, slots=True)
class CacheSpec:
    """A cache of keys and values.

    Attributes:
        layout: its layers.
        itemsize: bytes of an element.
        slots: tokens that a static cache has room for; None for a growing one.
        encoder_tokens: tokens that the cross-attention holds.
        reordered: whether beam search rearranges the sequences between two calls.
    """

    layout: CacheLayout
    itemsize: int
    slots: int | None = None
    encoder_tokens: int = 0
    reordered: bool = False

    @property
    def bytes_per_token(self) -> int:
        """Bytes that one more token of one sequence takes while no window is full."""
        return self.layout.elements_per_token * self.itemsize


def kv_cache(spec: CacheSpec, calls: Sequence[Call]) -> Estimate:
    """The most bytes that a cache takes over a series of calls.

    Args:
        spec: the cache.
        calls: all calls that filled it, oldest first; one with no context begins a new cache.
    """
    if not calls:
        return not_estimated("no call of the model with a cache of known length")
    if spec.slots is not None:
        return _static(spec, max(call.batch for call in calls))
    highest = max(_candidates(calls), key=lambda pair: _highest(spec, *pair))
    return _growing(spec, *highest)


def kept_bytes(spec: CacheSpec, batch: int, tokens: int) -> int:
    """Bytes that a growing cache keeps of `tokens` tokens, without any copying."""
    whole = sum(
        layer.elements * min(tokens, layer.window or tokens) for layer in spec.layout.layers
    )
    crossed = sum(layer.elements for layer in spec.layout.cross) * spec.encoder_tokens
    return (whole + crossed) * batch * spec.itemsize + _counters(spec)


def held_during(spec: CacheSpec, before: Call | None, call: Call, layer: int) -> int:
    """Bytes of a growing cache within a call, once `layer` layers have their new tokens."""
    before = None if spec.reordered else before  # rearranging leaves no more than the window
    return (
        sum(
            _stored(spec, item, before, call, index < layer)
            for index, item in enumerate(spec.layout.layers)
        )
        + _cross(spec, call, layer)
        + _counters(spec)
    )


def _static(spec: CacheSpec, batch: int) -> Estimate:
    slots = spec.slots or 0
    layers, cross = spec.layout.layers, spec.layout.cross
    elements = sum(layer.elements * min(slots, layer.window or slots) for layer in layers)
    elements += sum(layer.elements for layer in cross) * spec.encoder_tokens
    nbytes = elements * batch * spec.itemsize + COUNTER_BYTES * len(layers + cross)
    formula = (
        f"static cache: {_layers_words(spec.layout)} × {spec.itemsize} B × batch {batch} × "
        f"{slots} slots, filled or not, and {COUNTER_BYTES} B of counter a layer"
    )
    if cross:
        formula += f", and as much for {spec.encoder_tokens} tokens of the encoder"
    return Estimate(nbytes, formula)


def _growing(spec: CacheSpec, before: Call | None, call: Call) -> Estimate:
    length = call.context + call.tokens
    kept = kept_bytes(spec, call.batch, length)
    highest = _highest(spec, before, call)
    formula = (
        f"{_layers_words(spec.layout)} × {spec.itemsize} B × batch {call.batch} × {length} tokens"
    )
    if spec.layout.cross:
        formula += f" and {spec.encoder_tokens} of the encoder"
    if highest > kept:
        formula += f" = {kept:,} B, and {highest - kept:,} B of old keys or values being replaced"
    return Estimate(highest, formula)


def _candidates(calls: Sequence[Call]) -> list[tuple[Call | None, Call]]:
    """The calls that may be the highest, each with the one before it in the same cache.

    A cache grows with every call, so of one-token calls only the longest counts; after a call of
    several tokens a windowed layer shrinks in the next, which is why that one counts as well.
    """
    pairs = [
        (calls[place - 1] if place and call.context else None, call)
        for place, call in enumerate(calls)
    ]
    longest = max(pairs, key=lambda pair: pair[1].batch * (pair[1].context + pair[1].tokens))
    several = [
        pair for pair in pairs if pair[1].tokens > 1 or (pair[0] is not None and pair[0].tokens > 1)
    ]
    return list(dict.fromkeys([*several[:4], *several[-4:], longest]))


def _highest(spec: CacheSpec, before: Call | None, call: Call) -> int:
    """The most bytes within one call: layer by layer, new copies are made and old ones go."""
    before = None if spec.reordered else before
    held = held_during(spec, before, call, 0)
    highest = held
    for index, layer in enumerate(spec.layout.layers):
        keys, values = (part * call.batch * spec.itemsize for part in _halves(layer))
        old, new = _tokens(layer, before, call, False), _tokens(layer, before, call, True)
        if layer.window is None:
            highest = max(highest, held + keys * new, held + keys * (new - old) + values * new)
        else:
            highest = max(highest, held + (keys + values) * new)
        held = held_during(spec, before, call, index + 1)
        highest = max(highest, held)
    if spec.reordered:
        highest = max(highest, _while_reordering(spec, call, held))
    return highest


def _while_reordering(spec: CacheSpec, call: Call, held: int) -> int:
    """Beam search copies the keys, then the values, of one layer after the other."""
    length, highest = call.context + call.tokens, held
    own = [
        (layer, _tokens(layer, None, call, True), min(length, (layer.window or length + 1) - 1))
        for layer in spec.layout.layers
    ]
    cross = [(layer, spec.encoder_tokens, spec.encoder_tokens) for layer in spec.layout.cross]
    for layer, stored, kept in own + cross:
        for part in _halves(layer):
            one_token = part * call.batch * spec.itemsize
            highest = max(highest, held + one_token * kept)
            held -= one_token * (stored - kept)
    return highest


def _halves(layer: CacheLayer) -> tuple[int, int]:
    return layer.heads * layer.key_width, layer.heads * layer.value_width


def _stored(
    spec: CacheSpec, layer: CacheLayer, before: Call | None, call: Call, updated: bool
) -> int:
    tokens = _tokens(layer, before, call, updated)
    return layer.elements * tokens * call.batch * spec.itemsize


def _tokens(layer: CacheLayer, before: Call | None, call: Call, updated: bool) -> int:
    """Tokens that a layer's storage has room for, before or after its update in a call.

    A windowed layer keeps a view of the last `window - 1` tokens: its storage has the new ones too.
    """
    if layer.window is None:
        return call.context + (call.tokens if updated else 0)
    latest = call if updated else before
    if latest is None:
        return min(call.context, layer.window - 1) if call.context else 0
    return min(latest.context, layer.window - 1) + latest.tokens


def _cross(spec: CacheSpec, call: Call, layer: int) -> int:
    filled = spec.layout.cross if call.context else spec.layout.cross[:layer]
    return sum(item.elements for item in filled) * spec.encoder_tokens * call.batch * spec.itemsize


def _counters(spec: CacheSpec) -> int:
    return COUNTER_BYTES * sum(layer.window is not None for layer in spec.layout.layers)


def _layers_words(layout: CacheLayout) -> str:
    kinds = dict.fromkeys(replace(layer, window=None) for layer in layout.layers)
    words = []
    for kind in kinds:
        number = sum(replace(layer, window=None) == kind for layer in layout.layers)
        width = (
            f"2 × {kind.key_width}"
            if kind.key_width == kind.value_width
            else f"({kind.key_width} + {kind.value_width})"
        )
        words.append(f"{number} layers × {kind.heads} heads × {width}")
    windows = sorted({layer.window for layer in layout.layers if layer.window is not None})
    text = " + ".join(words)
    return text + (f" (windows of {', '.join(map(str, windows))})" if windows else "")
