"""The highest moments of a training step: the loss, the deepest backward, the optimizer's step.

Each is the sum of what every category holds then; the highest of them is the step's peak. The
formulas are those of one device, with its own share of the model (`parallel.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from memprof.estimate.activations import (
    LOSS_BYTES,
    Stack,
    Unknown,
    activations,
    forward_end,
    in_backward,
    in_loss,
    stack_of,
)
from memprof.estimate.blocks import behind_blocks, bytes_by_block
from memprof.estimate.dtypes import itemsize
from memprof.estimate.gradients import EVERY_ONE, trained
from memprof.estimate.model_spec import ModelSpec, TensorSpec
from memprof.estimate.optimizer import OptimizerSpec, optimizer_state
from memprof.estimate.optimizer_step import step_transient
from memprof.estimate.parallel import Share, sharded
from memprof.estimate.result import Estimate, Peak, not_estimated
from memprof.estimate.run_spec import RunSpec
from memprof.estimate.weights import buffers, weights

#: ids and labels, both int64
INPUT_BYTES = 16
_NOTHING = Estimate(0, "nothing")


@dataclass(frozen=True)
class Step:
    """A training step of one device.

    Attributes:
        share: its part of the model.
        run: how it is run, in this device's sizes.
        optimizer: None where nothing is updated.
        stack: what is kept for backward, or the reason why that is not known.
    """

    share: Share
    run: RunSpec
    optimizer: OptimizerSpec | None
    stack: Stack | str

    @property
    def model(self) -> ModelSpec:
        """The device's part of the model."""
        return self.share.model

    @property
    def in_flight(self) -> int:
        """Calls whose activations are there at once: a pipeline's first stage has most (1F1B)."""
        parallel = self.run.parallel
        waiting = parallel.pp - self.share.stage
        return min(waiting, parallel.micro_batches or parallel.pp)


def training_step(share: Share, run: RunSpec) -> Step:
    """A training step of a device with its share of a model.

    Raises:
        UsageError: if the optimizer does not exist.
    """
    parallel = run.parallel
    local = replace(run, tokens=-(-run.tokens // parallel.cp))
    updated = [_updated(tensor, run) for tensor in trained(share.model)]
    optimizer = (
        OptimizerSpec.of_model(run.optimizer, run.optimizer_options, updated)
        if run.optimizer
        else None
    )
    try:
        stack: Stack | str = stack_of(share.model, local)
    except Unknown as reason:
        stack = str(reason)
    return Step(share, local, optimizer, stack)


def training_peaks(step: Step) -> dict[str, Peak]:
    """What is there at the three moments that can be a step's highest.

    Returns:
        "loss", "backward" and "optimizer"; categories that are not known then say why.
    """
    base = _base(step)
    whole = kept_gradients(step)
    if isinstance(step.stack, str):
        none = not_estimated(step.stack)
        open_ = {"activations": none, "temporary": none}
        return {
            "loss": Peak("loss", {**base, "gradients": _NOTHING, **open_}),
            "backward": Peak("backward", {**base, "gradients": whole, **open_}),
            "optimizer": _optimizer(step, base, 0),
        }
    stack = step.stack
    cache = 0 if step.run.recomputes else stack.cache
    held = LOSS_BYTES + (stack.outputs + cache if step.run.outputs_kept else 0)
    blocks, table = _backward(step, base, stack), _tied_table(step, base, held)
    return {
        "loss": _loss(step, base, stack),
        "backward": max(blocks, table, key=lambda peak: peak.known_bytes),
        "optimizer": _optimizer(step, base, held),
    }


def loss_transient(stack: Stack) -> int:
    """The gradients of the log-softmax and of the float32 logits, at once."""
    found = (part.nbytes for part in stack.head if part.what.startswith("log-softmax"))
    return 2 * next(found, 0)


def kept_weights(step: Step) -> Estimate:
    """Bytes of a device's weights, split among the replicas at ZeRO 3."""
    parallel = step.run.parallel
    if parallel.zero < 3:
        return weights(step.model)
    own = replace(step.model, parameters=_split(step.model.parameters, parallel.dp))
    kept = weights(own)
    return replace(kept, formula=f"{kept.formula}, split among {parallel.dp} replicas")


def kept_gradients(step: Step) -> Estimate:
    """Bytes of a device's gradients at the end of backward."""
    parallel, tensors = step.run.parallel, trained(step.model)
    if not tensors:
        return Estimate(0, "no parameter requires a gradient")
    split = parallel.dp if parallel.zero >= 2 else 1
    own = _split(tensors, split)
    nbytes = sum(_gradient_bytes(tensor, step.run) for tensor in own)
    elements = sum(tensor.elements for tensor in own)
    dtype = step.run.gradient_dtype or "their own dtype"
    text = f"one gradient for each of {elements:,} trained parameters, in {dtype}"
    text += f", split among {split} replicas" if split > 1 else ""
    return Estimate(nbytes, text, (EVERY_ONE,))


def kept_state(step: Step) -> Estimate:
    """Bytes of a device's optimizer state, a float32 copy of the weights included."""
    if step.optimizer is None:
        return Estimate(0, "nothing is updated")
    places = {tensor.device for tensor in trained(step.model)}
    device = places.pop() if len(places) == 1 else None
    state, parallel = optimizer_state(step.optimizer, device), step.run.parallel
    if state.bytes is None:
        return state
    text, nbytes = state.formula, state.bytes
    if step.run.master_weights:
        own = _split(trained(step.model), parallel.dp if parallel.zero else 1)
        nbytes += 4 * sum(tensor.elements for tensor in own)
        text += ", and a float32 copy of the weights"
    if parallel.zero and parallel.dp > 1:
        text += f", split among {parallel.dp} replicas"
    return Estimate(nbytes, text, state.assumptions)


def step_activations(step: Step) -> Estimate:
    """The most that a device keeps for backward, over all calls of a pipeline that wait."""
    kept = activations(step.model, step.run)
    if kept.bytes is None or isinstance(step.stack, str) or step.in_flight == 1:
        return kept
    waiting = _waiting(step, step.stack)
    text = f"{kept.formula} + {step.in_flight - 1} calls that wait, {waiting:,} B"
    return Estimate(kept.bytes + waiting, text, kept.assumptions)


def communication(step: Step) -> Estimate:
    """Buffers of data parallelism: DDP's buckets, or what FSDP gathers of two blocks."""
    parallel = step.run.parallel
    if parallel.dp == 1:
        return Estimate(0, "nothing is exchanged among replicas")
    if parallel.zero < 3:
        nbytes = sum(tensor.nbytes for tensor in trained(step.model))
        text = "DDP's buckets, a second copy of every gradient"
        return Estimate(nbytes, text, ("gradient_as_bucket_view is not set",))
    blocks = sorted(bytes_by_block(list(step.model.parameters)))
    nbytes = sum(blocks[-2:])
    text = f"weights of two blocks, gathered: {' + '.join(f'{block:,}' for block in blocks[-2:])} B"
    return Estimate(nbytes, text, ("each block is a unit of FSDP; one is fetched ahead",))


def _updated(tensor: TensorSpec, run: RunSpec) -> TensorSpec:
    own = sharded(tensor, run.parallel.dp) if run.parallel.zero else tensor
    return replace(own, dtype="float32") if run.master_weights else own


def _split(tensors: Iterable[TensorSpec], devices: int) -> tuple[TensorSpec, ...]:
    return tuple(sharded(tensor, devices) for tensor in tensors)


def _gradient_bytes(tensor: TensorSpec, run: RunSpec) -> int:
    element = itemsize(run.gradient_dtype or tensor.dtype)
    return tensor.elements * element


def _base(step: Step) -> dict[str, Estimate]:
    """What is there during a whole step but the first."""
    rows = step.run.batch * step.run.tokens
    return {
        "weights": kept_weights(step),
        "buffers": buffers(step.model),
        "optimizer_state": kept_state(step),
        "inputs": Estimate(INPUT_BYTES * rows, f"ids and labels of {rows:,} tokens × 8 B"),
        "communication": communication(step),
    }


def _waiting(step: Step, stack: Stack) -> int:
    """Activations of the calls that a pipeline has begun besides the one at work."""
    return (step.in_flight - 1) * forward_end(stack, step.run)


def _loss(step: Step, base: dict[str, Estimate], stack: Stack) -> Peak:
    kept, moment = in_loss(stack, step.run) + _waiting(step, stack), loss_transient(stack)
    return Peak(
        "loss",
        {
            **base,
            "gradients": Estimate(0, "backward begins"),
            "activations": Estimate(kept, _all_blocks(stack)),
            "temporary": Estimate(
                moment, "gradients of the log-softmax and of the logits, in float32"
            ),
        },
    )


def _all_blocks(stack: Stack) -> str:
    return f"all {stack.layers} blocks, the head and the loss"


def _backward(step: Step, base: dict[str, Estimate], stack: Stack) -> Peak:
    blocks = bytes_by_block(trained(step.model)) or [0] * stack.layers
    behind = sum(tensor.nbytes for tensor in behind_blocks(step.model))
    working, waiting = _mlp_backward(step, stack), _waiting(step, stack)
    moments = []
    for left in range(stack.layers, 0, -1):
        gradients = behind + sum(blocks[left:])
        kept = in_backward(stack, step.run, left) + waiting
        moments.append((gradients + kept, left, gradients, kept))
    _, left, gradients, kept = max(moments)
    text = "head" if left == stack.layers else f"head and {stack.layers - left} blocks"
    return Peak(
        "backward",
        {
            **base,
            "gradients": Estimate(gradients, f"gradients of the {text}"),
            "activations": Estimate(kept, f"{left} of {stack.layers} blocks left"),
            "temporary": Estimate(working, f"gradients at work in the MLP of block {left - 1}"),
        },
    )


def _tied_table(step: Step, base: dict[str, Estimate], held: int) -> Peak:
    """The end of backward: the embedding's gradient is added to the head's, out of place."""
    whole = trained(step.model)
    behind = {tensor.storage for tensor in behind_blocks(step.model)}
    table = whole[0].nbytes if whole and whole[0].storage in behind else 0
    text = "the gradient of the tied embedding and its sum with the head's"
    return Peak(
        "backward",
        {
            **base,
            "gradients": kept_gradients(step),
            "activations": Estimate(held, "loss and what the program holds of the output"),
            "temporary": Estimate(2 * table, text),
        },
    )


def _optimizer(step: Step, base: dict[str, Estimate], held: int) -> Peak:
    moment = _NOTHING if step.optimizer is None else step_transient(step.optimizer)
    return Peak(
        "optimizer",
        {
            **base,
            "gradients": kept_gradients(step),
            "activations": Estimate(held, "what the program still holds of the output"),
            "temporary": moment,
        },
    )


def _mlp_backward(step: Step, stack: Stack) -> int:
    """Gradients of the block's output, of the product and one factor, and of a weight."""
    config, rows = step.model.config, step.run.batch * step.run.tokens
    hidden = int(config.get("hidden_size") or config.get("n_embd") or 1)
    element = stack.block_input // (rows * hidden)
    inner = config.get("intermediate_size") or config.get("n_inner") or 4 * hidden
    return int(element * (rows * (2 * inner + hidden) + inner * hidden))
