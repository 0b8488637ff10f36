"""The highest moments of a training step on one device: the loss, the backward, the optimizer."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile

from memprof.estimate.activations import LOSS_BYTES, Stack, Unknown, in_backward, in_loss
from memprof.estimate.activations import stack_of as activation_stack
from memprof.estimate.gradients import trained
from memprof.estimate.model_spec import ModelSpec, TensorSpec
from memprof.estimate.optimizer import OptimizerSpec, optimizer_state
from memprof.estimate.optimizer_step import step_transient
from memprof.estimate.result import Estimate, not_estimated
from memprof.estimate.run_spec import RunSpec
from memprof.estimate.weights import buffers, weights

#: ids and labels, both int64
INPUT_BYTES = 16


@dataclass(frozen=True, slots=True)
class _Base:
    """What is there during a whole step but the first: weights, buffers, state, inputs."""

    model: ModelSpec
    run: RunSpec
    optimizer: OptimizerSpec | None
    nbytes: int


def training_peaks(
    model: ModelSpec, run: RunSpec, optimizer: OptimizerSpec | None
) -> dict[str, Estimate]:
    """Bytes of everything at the three moments that can be a step's highest.

    Args:
        model: with parameters and configuration.
        run: of mode "train".
        optimizer: None where nothing is updated.

    Returns:
        "loss", "backward" and "optimizer"; unknown where a part of the moment is.
    """
    state = Estimate(0, "") if optimizer is None else optimizer_state(optimizer)
    parts = [weights(model), buffers(model), state]
    unknown = next((part for part in parts if part.bytes is None), None)
    if unknown is not None:
        return dict.fromkeys(("loss", "backward", "optimizer"), unknown)
    kept = sum(part.bytes or 0 for part in parts) + INPUT_BYTES * run.batch * run.tokens
    base = _Base(model, run, optimizer, kept)
    try:
        stack = activation_stack(model, run)
    except Unknown as reason:
        none = not_estimated(str(reason))
        return {"loss": none, "backward": none, "optimizer": _optimizer(base, 0)}
    cache = 0 if run.checkpointing else stack.cache
    held = stack.outputs + cache if run.outputs_kept else 0
    blocks, table = _backward(base, stack), _tied_table(base, held + LOSS_BYTES)
    return {
        "loss": _loss(base, stack),
        "backward": max(blocks, table, key=lambda moment: moment.bytes or 0),
        "optimizer": _optimizer(base, held + LOSS_BYTES),
    }


def loss_transient(stack: Stack) -> int:
    """The gradients of the log-softmax and of the float32 logits, at once."""
    return 2 * next(part.nbytes for part in stack.head if part.what.startswith("log-softmax"))


def _loss(base: _Base, stack: Stack) -> Estimate:
    kept, moment = in_loss(stack, base.run), loss_transient(stack)
    return Estimate(
        base.nbytes + kept + moment,
        f"{base.nbytes:,} B of weights, state and inputs + {kept:,} B of activations + "
        f"{moment:,} B of gradients of the logits",
    )


def _backward(base: _Base, stack: Stack) -> Estimate:
    blocks = _bytes_by_block(base.model, stack.layers)
    behind = sum(tensor.nbytes for tensor in behind_blocks(base.model))
    working = _mlp_backward(base, stack)
    moments = []
    for left in range(stack.layers, 0, -1):
        gradients = behind + sum(blocks[left:])
        kept = in_backward(stack, base.run, left)
        moments.append((base.nbytes + gradients + kept + working, left, gradients, kept))
    nbytes, left, gradients, kept = max(moments)
    return Estimate(
        nbytes,
        f"{base.nbytes:,} B of weights, state and inputs + {gradients:,} B of gradients + "
        f"{kept:,} B of activations + {working:,} B at work, in block {left - 1}",
    )


def _tied_table(base: _Base, held: int) -> Estimate:
    """The end of backward: the embedding's gradient is added to the head's, out of place."""
    whole = trained(base.model)
    gradients = sum(tensor.nbytes for tensor in whole)
    behind = {tensor.storage for tensor in behind_blocks(base.model)}
    table = whole[0].nbytes if whole and whole[0].storage in behind else 0
    return Estimate(
        base.nbytes + gradients + held + 2 * table,
        f"{base.nbytes:,} B of weights, state and inputs + {gradients:,} B of gradients + "
        f"2 × {table:,} B: the gradient of the tied embedding and its sum with the head's",
    )


def _optimizer(base: _Base, held: int) -> Estimate:
    gradients = sum(tensor.nbytes for tensor in trained(base.model))
    if base.optimizer is None:
        return Estimate(base.nbytes + gradients + held, "weights, inputs and gradients")
    moment = step_transient(base.optimizer)
    if moment.bytes is None:
        return moment
    return Estimate(
        base.nbytes + gradients + held + moment.bytes,
        f"{base.nbytes:,} B of weights, state and inputs + {gradients:,} B of gradients + "
        f"{moment.bytes:,} B at once ({moment.formula})",
        moment.assumptions,
    )


def _bytes_by_block(model: ModelSpec, layers: int) -> list[int]:
    return [
        sum(tensor.nbytes for tensor in trained(model) if block_of(tensor) == layer)
        for layer in range(layers)
    ]


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


def block_of(tensor: TensorSpec) -> int | None:
    """Number of the block that a parameter belongs to; None where it belongs to none."""
    return block_number(tensor.name)


def block_number(path: str) -> int | None:
    """The first number in a module's path, such as 3 in ``model.layers.3.mlp``."""
    return next((int(name) for name in path.split(".") if name.isdigit()), None)


def _mlp_backward(base: _Base, stack: Stack) -> int:
    """Gradients of the block's output, of the product and one factor, and of a weight."""
    config, rows = base.model.config, base.run.batch * base.run.tokens
    element = stack.block_input // (rows * _hidden(base.model))
    inner = config.get("intermediate_size") or config.get("n_inner") or 4 * _hidden(base.model)
    return element * (rows * (2 * inner + _hidden(base.model)) + inner * _hidden(base.model))


def _hidden(model: ModelSpec) -> int:
    return int(model.config.get("hidden_size") or model.config.get("n_embd") or 1)
