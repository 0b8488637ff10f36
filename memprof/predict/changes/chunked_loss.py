"""The loss of transformers' language models over a part of the logits at a time."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from memprof.record.patches import Patches

CHUNK: Final = 1024  # tokens
_LOSS: Final = "ForCausalLM"


def install(patches: Patches) -> None:
    """Gives language models the loss; undoing `patches` gives them back their own."""
    if find_spec("transformers") is None:
        return
    losses = import_module("transformers.loss.loss_utils").LOSS_MAPPING
    before = losses[_LOSS]
    losses[_LOSS] = chunked_loss
    patches.on_undo(lambda: losses.__setitem__(_LOSS, before))


def chunked_loss(
    logits: torch.Tensor,
    labels: torch.Tensor | None,
    vocab_size: int,
    num_items_in_batch: Any = None,
    ignore_index: int = -100,
    shift_labels: torch.Tensor | None = None,
    **_: Any,
) -> torch.Tensor:
    """The mean cross entropy of the next tokens; every part is computed again in backward."""
    if shift_labels is None:
        assert labels is not None
        shift_labels = functional.pad(labels, (0, 1), value=ignore_index)[..., 1:]
    wanted = shift_labels.reshape(-1).to(logits.device)
    parts = zip(
        torch.split(logits.view(-1, vocab_size), CHUNK), torch.split(wanted, CHUNK), strict=True
    )
    losses = [
        checkpoint(_summed, part, target, ignore_index, use_reentrant=False)
        for part, target in parts
    ]
    items = (wanted != ignore_index).sum() if num_items_in_batch is None else num_items_in_batch
    return torch.stack(losses).sum() / items


def _summed(logits: torch.Tensor, wanted: torch.Tensor, ignore_index: int) -> torch.Tensor:
    return functional.cross_entropy(
        logits.float(), wanted, ignore_index=ignore_index, reduction="sum"
    )
