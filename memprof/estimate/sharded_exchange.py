"""What FSDP holds besides its shards, at each moment of a step.

As PyTorch's `fully_shard` does it where every block is a unit and the rest of the model another
(`_fsdp_param_group.py`, `_fsdp_collectives.py`): weights arrive in one flat buffer and are copied
out of it; the buffer lives until the next unit's has arrived. The rest, being the root, stays
gathered from the first forward to the end of backward.
"""

from __future__ import annotations

from collections.abc import Sequence

from memprof.estimate.blocks import block_of, bytes_by_block
from memprof.estimate.model_spec import TensorSpec
from memprof.estimate.result import Estimate

_ASSUMED = ("each block is a unit of FSDP, the rest of the model is one",)


def exchanged_at(moment: str, tensors: Sequence[TensorSpec]) -> Estimate:
    """Bytes of gathered weights and of buffers to exchange through.

    Args:
        moment: "forward", which holds most, "loss", "backward" or "optimizer".
        tensors: the parameters of the whole model.
    """
    block = max(bytes_by_block(list(tensors)), default=0)
    rest = sum(tensor.nbytes for tensor in tensors if block_of(tensor) is None)
    nbytes, text = {
        "forward": (2 * (rest + block), "the first block and the rest, both in the buffer and out"),
        "loss": (rest + block, "the rest, gathered, and the buffer of the last block"),
        "backward": (rest + 3 * block, "the rest, gathered; a block, its gradients, and the next"),
        "optimizer": (0, "nothing is gathered"),
    }[moment]
    return Estimate(nbytes, f"{text}: a block of {block:,} B, the rest of {rest:,} B", _ASSUMED)
