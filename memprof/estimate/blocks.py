"""Which parameters belong to which block of a model, told by their names."""

from __future__ import annotations

from itertools import takewhile

from memprof.estimate.gradients import trained
from memprof.estimate.model_spec import ModelSpec, TensorSpec


def block_number(path: str) -> int | None:
    """The first number in a module's path, such as 3 in ``model.layers.3.mlp``."""
    return next((int(name) for name in path.split(".") if name.isdigit()), None)


def block_of(tensor: TensorSpec) -> int | None:
    """Number of the block that a parameter belongs to; None where it belongs to none."""
    return block_number(tensor.name)


def bytes_by_block(tensors: list[TensorSpec]) -> list[int]:
    """Bytes of the parameters of each block, in the model's order."""
    held: dict[int, int] = {}
    for tensor in tensors:
        number = block_of(tensor)
        if number is not None:
            held[number] = held.get(number, 0) + tensor.nbytes
    return [held[number] for number in sorted(held)]


def behind_blocks(model: ModelSpec) -> list[TensorSpec]:
    """Trained parameters outside of all blocks whose gradients come before those of any block.

    These are the final norm's and the head's; a tied head brings the embedding's along.
    """
    names = [tensor for tensor in model.parameters if tensor.requires_grad]
    last = max(
        (place for place, each in enumerate(names) if block_of(each) is not None), default=-1
    )
    later = {tensor.storage for tensor in names[last + 1 :]}
    if not any("head" in tensor.name for tensor in names[last + 1 :]) and names:
        later.add(names[0].storage)
    return [each for each in trained(model) if each.storage in later and block_of(each) is None]


def is_before_blocks(model: ModelSpec, module: str) -> bool:
    """Whether a module has parameters, and has them before those of any block: an embedding."""
    before = takewhile(lambda each: block_of(each) is None, model.parameters)
    return any(each.name.startswith(f"{module}.") for each in before)
