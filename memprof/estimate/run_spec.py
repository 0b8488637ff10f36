"""What is run with a model: training or generation, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from memprof.errors import UsageError
from memprof.estimate.dtypes import dtype_name
from memprof.estimate.run_parts import (
    CacheOptions,
    Drafting,
    Lora,
    Offloading,
    Parallelism,
    Serving,
)

Mode = Literal["train", "prefill", "decode"]
Checkpointing = Literal["none", "selective", "full"]
CHECKPOINTING = ("none", "selective", "full")
LossStyle = Literal["model", "cross_entropy", "float32", "unknown"]
LOSSES = ("model", "cross_entropy", "float32", "unknown")


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
        checkpointing: what is recomputed in backward: "full" every block, "selective" the
            probabilities of attention, "none"; True and False are "full" and "none".
        attention: "sdpa" or "eager"; "" takes the model's own.
        loss: how the loss is computed: "model" by a model that is given labels, "cross_entropy" or
            "float32" by the program from the logits as they are or turned to float32, "unknown" in
            another way; True and False are "model" and "unknown".
        dropout: whether the model is in training mode, where dropout works.
        padded: whether sequences differ in length, which gives attention a mask.
        outputs_kept: whether the program holds the model's output (logits, cache) in backward.
        outputs_before: whether it still holds the output of the step before in the next forward.
        device: kind of device, "cpu" or "cuda": their kernels keep different things.
        cache_length: slots of a static cache, None for a growing one.
        cache: what the cache of keys and values is.
        quantization: format of the weights of linear layers, such as "int4"; "" for none.
        gradient_dtype: of the gradients; "" takes the weights' own.
        master_weights: whether the optimizer keeps a float32 copy of the weights.
        lora: adapters that are trained instead of the model.
        serving: requests that are served.
        drafting: a small model that proposes tokens.
        offloading: weights that stay on the host.
        parallel: how the run is spread over devices; all other sizes are of one replica.

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
    checkpointing: Checkpointing | bool = "none"
    attention: str = ""
    loss: LossStyle | bool = "model"
    dropout: bool = True
    padded: bool = False
    outputs_kept: bool = True
    outputs_before: bool = False
    device: str = "cpu"
    cache_length: int | None = None
    cache: CacheOptions = field(default_factory=CacheOptions)
    quantization: str = ""
    gradient_dtype: str = ""
    master_weights: bool = False
    lora: Lora | None = None
    serving: Serving | None = None
    drafting: Drafting | None = None
    offloading: Offloading | None = None
    parallel: Parallelism = field(default_factory=Parallelism)

    def __post_init__(self) -> None:
        if isinstance(self.checkpointing, bool):
            object.__setattr__(self, "checkpointing", "full" if self.checkpointing else "none")
        if isinstance(self.loss, bool):
            object.__setattr__(self, "loss", "model" if self.loss else "unknown")
        if self.loss not in LOSSES:
            raise UsageError(f"loss {self.loss!r} is unknown: choose {', '.join(LOSSES)}")
        if self.checkpointing not in CHECKPOINTING:
            raise UsageError(
                f"checkpointing {self.checkpointing!r} is unknown: "
                f"choose {', '.join(CHECKPOINTING)}"
            )
        if self.mode not in ("train", "prefill", "decode"):
            raise UsageError(f"mode {self.mode!r} is unknown: choose train, prefill or decode")
        for name in ("batch", "tokens"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.context < 0:
            raise UsageError(f"context is {self.context}: it cannot be negative")
        dtypes = (self.dtype, self.autocast, self.cache.dtype, self.gradient_dtype)
        for dtype in filter(None, dtypes):
            dtype_name(dtype)

    @property
    def recomputes(self) -> bool:
        """Whether every block is computed again in backward."""
        return self.checkpointing == "full"
