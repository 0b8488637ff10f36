"""What one device holds during a whole training step, with its own share of the model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from memprof.estimate.activations import Stack, Unknown, forward_end, kept_activations, stack_of
from memprof.estimate.blocks import behind_blocks
from memprof.estimate.dtypes import itemsize
from memprof.estimate.gradients import EVERY_ONE, trained
from memprof.estimate.model_spec import ModelSpec, TensorSpec
from memprof.estimate.optimizer import OptimizerSpec, optimizer_state
from memprof.estimate.parallel import Share, sharded
from memprof.estimate.result import Estimate, not_estimated
from memprof.estimate.run_spec import RunSpec
from memprof.estimate.sharded_exchange import exchanged_at
from memprof.estimate.weights import weights

#: DeepSpeed's `reduce_bucket_size`.
REDUCED_ELEMENTS = 500_000_000


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
    def behind(self) -> list[TensorSpec]:
        """Trained parameters whose gradients come before those of any block."""
        return behind_blocks(self.model) if self.share.last else []

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
        stack: Stack | str = _stack(share, local)
    except Unknown as reason:
        stack = str(reason)
    return Step(share, local, optimizer, stack)


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
    own, split = reduced_gradients(step, tensors), parallel.dp if parallel.zero >= 2 else 1
    nbytes = sum(_gradient_bytes(tensor, step.run) for tensor in own)
    elements = sum(tensor.elements for tensor in own)
    dtype = step.run.gradient_dtype or "their own dtype"
    text = f"one gradient for each of {elements:,} trained parameters, in {dtype}"
    text += f", split among {split} replicas" if split > 1 else ""
    return Estimate(nbytes, text, (EVERY_ONE,))


def reduced_gradients(step: Step, tensors: Iterable[TensorSpec]) -> tuple[TensorSpec, ...]:
    """What a device keeps of gradients that are complete: its part from ZeRO 2 on."""
    parallel = step.run.parallel
    return _split(tensors, parallel.dp if parallel.zero >= 2 else 1)


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
    if isinstance(step.stack, str):
        return not_estimated(step.stack)
    kept = kept_activations(step.stack, step.run)
    if kept.bytes is None or step.in_flight == 1:
        return kept
    waiting = waiting_bytes(step, step.stack)
    text = f"{kept.formula} + {step.in_flight - 1} calls that wait, {waiting:,} B"
    return Estimate(kept.bytes + waiting, text, kept.assumptions)


def communication(step: Step, moment: str = "forward") -> Estimate:
    """Buffers of data parallelism: DDP's buckets, or what FSDP gathers and exchanges.

    Args:
        step: a training step.
        moment: "forward", where FSDP holds most, "loss", "backward" or "optimizer".
    """
    parallel = step.run.parallel
    if parallel.dp == 1:
        return Estimate(0, "nothing is exchanged among replicas")
    if parallel.zero == 0:
        nbytes = sum(tensor.nbytes for tensor in trained(step.model))
        text = "DDP's buckets, a second copy of every gradient"
        return Estimate(nbytes, text, ("gradient_as_bucket_view is not set",))
    if parallel.zero < 3:
        return _reduced(step)
    return exchanged_at(moment, step.model.parameters)


def _reduced(step: Step) -> Estimate:
    """The bucket that DeepSpeed's ZeRO 1 and 2 exchange gradients through."""
    tensors = trained(step.model)
    elements = sum(tensor.elements for tensor in tensors)
    whole = sum(_gradient_bytes(tensor, step.run) for tensor in tensors)
    nbytes = whole * min(REDUCED_ELEMENTS, elements) // elements if elements else 0
    text = f"a bucket of at most {REDUCED_ELEMENTS:,} gradients"
    return Estimate(nbytes, text, ("buckets of DeepSpeed's default size",))


def _updated(tensor: TensorSpec, run: RunSpec) -> TensorSpec:
    own = sharded(tensor, run.parallel.dp) if run.parallel.zero else tensor
    return replace(own, dtype="float32") if run.master_weights else own


def _split(tensors: Iterable[TensorSpec], devices: int) -> tuple[TensorSpec, ...]:
    return tuple(sharded(tensor, devices) for tensor in tensors)


def _gradient_bytes(tensor: TensorSpec, run: RunSpec) -> int:
    element = itemsize(run.gradient_dtype or tensor.dtype)
    return tensor.elements * element


def waiting_bytes(step: Step, stack: Stack) -> int:
    """Activations of the calls that a pipeline has begun besides the one at work."""
    return (step.in_flight - 1) * forward_end(stack, step.run)


def _stack(share: Share, run: RunSpec) -> Stack:
    """What a stage keeps of one call: head and loss are the last one's."""
    stack = stack_of(share.model, run)
    return stack if share.last else replace(stack, head=(), outputs=0)
