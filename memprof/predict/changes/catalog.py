"""The changes that are tried, the cheapest first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from memprof.errors import UsageError


@dataclass(frozen=True, slots=True)
class Change:
    """One change.

    Attributes:
        name: what ``--what-if`` calls it.
        text: what to do.
        cost: what it costs.
    """

    name: str
    text: str
    cost: str


CHANGES: Final = (
    Change("fused", "Give the optimizer fused=True.", "nothing: it is faster as well"),
    Change(
        "chunked_loss",
        "Compute a transformers model's loss over 1,024 tokens of the logits at a time, each part "
        "under torch.utils.checkpoint (model.loss_function = ...).",
        "the loss is computed twice",
    ),
    Change(
        "checkpointing",
        "Checkpoint each layer (model.gradient_checkpointing_enable(), torch.utils.checkpoint).",
        "a step takes about a third longer",
    ),
    Change(
        "8bit",
        "Keep the optimizer's state in 8 bits (bitsandbytes.optim.AdamW8bit).",
        "the state is rounded",
    ),
    Change(
        "bf16",
        "Make the model in bfloat16 (dtype=torch.bfloat16).",
        "weights and state are rounded",
    ),
    Change("fsdp2", "Shard the model over 8 GPUs (torch.distributed.fsdp.fully_shard).", "8 GPUs"),
)


def check_changes(names: Iterable[str]) -> tuple[str, ...]:
    """The names of changes to make.

    Raises:
        UsageError: if there is no such change.
    """
    known = [change.name for change in CHANGES]
    for name in names:
        if name not in known:
            raise UsageError(f"change {name!r} is unknown: there are {', '.join(known)}")
    return tuple(names)
