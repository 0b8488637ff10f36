"""Sizes of one call of a Llama-like model."""

from __future__ import annotations

from dataclasses import dataclass

from memprof.estimate.activations import number
from memprof.estimate.dtypes import itemsize
from memprof.estimate.model_spec import ModelSpec
from memprof.estimate.run_spec import RunSpec


@dataclass(frozen=True, slots=True)
class LlamaSizes:
    """Sizes of one call.

    Attributes:
        batch, tokens: sequences, and tokens of each.
        element: bytes of an element of the weights.
        hidden, inner: widths of the residual stream and of the MLP.
        heads, groups, width: query heads, key-value heads, elements of a head.
        vocabulary, layers: how many there are.
        shards: devices that split the residual stream and the norms along the sequence.
    """

    batch: int
    tokens: int
    element: int
    hidden: int
    inner: int
    heads: int
    groups: int
    width: int
    vocabulary: int
    layers: int
    shards: int = 1

    @property
    def rows(self) -> int:
        """Tokens of all sequences."""
        return self.batch * self.tokens

    @property
    def stream_rows(self) -> int:
        """Tokens of all sequences whose residual stream this device has."""
        return -(-self.rows // self.shards)

    @property
    def stream(self) -> int:
        """Bytes of what flows from block to block."""
        return self.stream_rows * self.hidden * self.element

    @property
    def queries(self) -> int:
        """Bytes of the queries of one block."""
        return self.rows * self.heads * self.width * self.element

    @property
    def keys(self) -> int:
        """Bytes of the keys of one block, or of its values."""
        return self.rows * self.groups * self.width * self.element

    @property
    def scores(self) -> int:
        """Elements of the attention scores."""
        return self.batch * self.heads * self.tokens**2


def sizes_of(model: ModelSpec, run: RunSpec) -> LlamaSizes:
    """Reads the sizes from a configuration.

    Raises:
        Unknown: if the configuration lacks one.
    """
    hidden, heads = number(model, "hidden_size"), number(model, "num_attention_heads")
    return LlamaSizes(
        batch=run.batch,
        tokens=run.tokens,
        element=itemsize(run.dtype or model.dtype or "float32"),
        hidden=hidden,
        inner=number(model, "intermediate_size"),
        heads=heads,
        groups=model.config.get("num_key_value_heads") or heads,
        width=model.config.get("head_dim") or hidden // heads,
        vocabulary=number(model, "vocab_size"),
        layers=number(model, "num_hidden_layers"),
        shards=run.parallel.tp if run.parallel.sequence else 1,
    )
