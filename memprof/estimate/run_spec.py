"""What is run with a model: training or generation, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from memprof.errors import UsageError
from memprof.estimate.dtypes import dtype_name

Mode = Literal["train", "prefill", "decode"]


@dataclass(frozen=True)
class RunSpec:
    """A run of one model.

    Attributes:
        mode: "train", "prefill" or "decode".
        batch: sequences in a call.
        tokens: new tokens of each sequence in a call.
        context: tokens of each sequence that a cache holds already.
        dtype: of the weights; "" takes the configuration's own, else float32.
        autocast: dtype of autocast, "" without.
        optimizer: a class of torch.optim, such as "AdamW"; "" for none.
        optimizer_options: its options where they differ from PyTorch's own.
        checkpointing: whether every block is recomputed in backward.
        attention: "sdpa" or "eager"; "" takes the model's own.
        loss: whether the model is given labels and computes its loss.
        dropout: whether the model is in training mode, where dropout works.
        padded: whether sequences differ in length, which gives attention a mask.
        outputs_kept: whether the program holds the model's output (logits, cache) in backward.
        outputs_before: whether it still holds the output of the step before in the next forward.
        device: kind of device, "cpu" or "cuda": their kernels keep different things.
        cache_length: slots of a static cache, None for a growing one.

    Raises:
        UsageError: if a value cannot mean anything.
    """

    mode: Mode = "train"
    batch: int = 1
    tokens: int = 1
    context: int = 0
    dtype: str = ""
    autocast: str = ""
    optimizer: str = ""
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    checkpointing: bool = False
    attention: str = ""
    loss: bool = True
    dropout: bool = True
    padded: bool = False
    outputs_kept: bool = True
    outputs_before: bool = False
    device: str = "cpu"
    cache_length: int | None = None

    def __post_init__(self) -> None:
        if self.mode not in ("train", "prefill", "decode"):
            raise UsageError(f"mode {self.mode!r} is unknown: choose train, prefill or decode")
        for name in ("batch", "tokens"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.context < 0:
            raise UsageError(f"context is {self.context}: it cannot be negative")
        for dtype in filter(None, (self.dtype, self.autocast)):
            dtype_name(dtype)
