"""What each category needs at one moment of a run: how far forward, backward or step have come."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from memprof.analyze.analysis import Analysis
from memprof.analyze.expected import at_high_water
from memprof.analyze.generation import cache_spec, generating_calls
from memprof.analyze.moment import Moment
from memprof.analyze.phases import SEPARATOR, phase_of_event
from memprof.analyze.run_facts import RunFacts
from memprof.analyze.training import BACKWARD, has_phase, training_run
from memprof.estimate import (
    Estimate,
    ModelSpec,
    OptimizerSpec,
    RunSpec,
    TensorSpec,
    not_estimated,
)
from memprof.estimate.activations import (
    Stack,
    Unknown,
    forward_end,
    in_backward,
    in_loss,
    output_before,
    stack_of,
    total,
)
from memprof.estimate.blocks import behind_blocks, block_number, block_of, is_before_blocks
from memprof.estimate.gradients import trained
from memprof.estimate.kv_cache import Call, held_during
from memprof.estimate.optimizer import total_state
from memprof.estimate.optimizer_step import step_transient
from memprof.estimate.peaks import loss_transient

_RECOMPUTE = "recompute"
_OPTIMIZER = "optimizer"
_PREFILL = "prefill"


@dataclass(frozen=True)
class Instant:
    """One moment of a run, to be estimated category by category.

    Attributes:
        analysis: the run.
        facts: what was run.
        moment: when.
    """

    analysis: Analysis
    facts: RunFacts
    moment: Moment

    def estimate(self, category: str) -> Estimate:
        """What a category needs; its bytes are None where the moment leaves them open."""
        if category in ("weights", "buffers"):
            return self._weights(category)
        if category == "gradients":
            return self._gradients()
        if category == "optimizer_state":
            return self._optimizer_state()
        if category == "activations":
            return self._activations()
        if category == "kv_cache":
            return self._kv_cache()
        if category == "recurrent_state" and self.phase == _PREFILL:
            return not_estimated("the states are being made, layer after layer")
        if category == "temporary":
            return self._temporary()
        return at_high_water(self.analysis, self.facts, self.moment, category)

    @cached_property
    def phase(self) -> str:
        """The innermost phase, the recomputation in a backward counting as that backward."""
        names = self.moment.phase.split(SEPARATOR)
        return BACKWARD if _RECOMPUTE in names or BACKWARD in names else names[-1]

    @cached_property
    def models(self) -> list[ModelSpec]:
        """The models as they were."""
        return self.facts.models_at(self.moment.time_ns)

    @cached_property
    def training(self) -> tuple[ModelSpec, RunSpec, Stack] | str:
        """The model that trains, how, and what it keeps; else the reason why that is open."""
        found = training_run(self.analysis, self.facts, self.models, self.moment)
        if isinstance(found, str):
            return found
        try:
            return (*found, stack_of(*found))
        except Unknown as reason:
            return str(reason)

    @cached_property
    def before_blocks(self) -> bool:
        """Whether the module at work comes before all blocks, and so last in backward."""
        models = self.facts.trained(self.models)
        return any(is_before_blocks(model, self.moment.module) for model in models)

    @property
    def training_root(self) -> str:
        """Name of the model that trains; "" where that is open."""
        return "" if isinstance(self.training, str) else self.training[0].root

    @property
    def block(self) -> int | None:
        """Number of the block at work."""
        return block_number(self.moment.module)

    def _weights(self, category: str) -> Estimate:
        first = min((noted for noted, _ in self.facts.models), default=0)
        if self.moment.phase == "load" and self.moment.time_ns < first:
            return not_estimated("the model was still being made")
        return at_high_water(self.analysis, self.facts, self.moment, category)

    def _gradients(self) -> Estimate:
        whole = at_high_water(self.analysis, self.facts, self.moment, "gradients")
        if self.phase == _OPTIMIZER or whole.bytes in (None, 0):
            return whole
        if self._held_before("gradients"):
            return Estimate(whole.bytes, f"{whole.formula}; kept from before", whole.assumptions)
        if self.phase != BACKWARD:
            return Estimate(0, "no gradient is kept between two steps")
        models = self.facts.trained(self.models)
        if len(models) != 1 or not self.moment.module:
            return not_estimated("how far backward had come is open")
        return self._gradients_so_far(models[0])

    def _gradients_so_far(self, model: ModelSpec) -> Estimate:
        """Backward comes from the head: blocks above the one at work have their gradients."""
        on = self.moment.device
        head = sum(each.nbytes for each in self._finished(model) if each.device == on)
        if self.block is None:
            if self.before_blocks:
                return at_high_water(self.analysis, self.facts, self.moment, "gradients")
            if self.moment.module != model.root:
                return not_estimated("how far backward had come is open")
            return Estimate(0, "backward is at the loss: no gradient of a parameter yet")
        above = sum(
            each.nbytes
            for each in trained(model, on)
            if (number := block_of(each)) is not None and number > self.block
        )
        text = f"gradients of the head, {head:,} B, and of the blocks above {self.block}"
        return Estimate(head + above, text, ("the gradients of the block at work come on top",))

    def _finished(self, model: ModelSpec) -> list[TensorSpec]:
        """Parameters behind the blocks; a tied head's gradient waits for the embedding's."""
        first = trained(model)[0].storage
        return [each for each in behind_blocks(model) if each.storage != first]

    def _held_before(self, category: str) -> bool:
        """Whether the category held anything when the outermost phase of the moment began."""
        phases = self.analysis.trace.phases
        row = phase_of_event(self.analysis.trace, self.moment.event)
        while row and phases.parent[row]:
            row = int(phases.parent[row])
        device = self.analysis.device(self.moment.device)
        before = device.at_time(int(phases.begin_ns[row]) - 1)
        return bool(row and before.by_category[category] > 0)

    def _optimizer_state(self) -> Estimate:
        made = [
            optimizer
            for noted, optimizer in self.facts.optimizers
            if noted <= self.moment.time_ns or self.phase == _OPTIMIZER or _early(optimizer)
        ]
        if self.facts.optimizers and not made:
            return Estimate(0, "the state is made in the first step, which has yet to come")
        return total_state(made, self.moment.device)

    def _activations(self) -> Estimate:
        if not has_phase(self.analysis.trace, BACKWARD):
            return Estimate(0, "nothing is kept for backward: there was none")
        if self.phase not in ("forward", BACKWARD):
            return not_estimated("what the program still holds of the last forward is its affair")
        if isinstance(self.training, str):
            return not_estimated(self.training)
        _, run, stack = self.training
        if self.phase == BACKWARD:
            return self._in_backward(run, stack)
        return self._in_forward(run, stack)

    def _in_forward(self, run: RunSpec, stack: Stack) -> Estimate:
        if self.block is None:
            return Estimate(forward_end(stack, run), "everything up to the loss")
        kept = stack.block_input if run.recomputes else total(stack.block)
        done = total(stack.around) + (self.block + 1) * kept + output_before(stack, run)
        return Estimate(done, f"{self.block + 1} blocks × {kept:,} B", ("the block is complete",))

    def _in_backward(self, run: RunSpec, stack: Stack) -> Estimate:
        if self.block is None:
            return self._behind_blocks(run, stack)
        left = min(self.block + 1, stack.layers)
        text = f"{left} of {stack.layers} blocks left, and what lies around them"
        return Estimate(in_backward(stack, run, left), text)

    def _behind_blocks(self, run: RunSpec, stack: Stack) -> Estimate:
        kept = in_loss(stack, run)
        if self.before_blocks:
            left = in_backward(stack, run, 0) - total(stack.around)
            return Estimate(left, "no block is left")
        if self.moment.module != self.training_root:
            return Estimate(kept - loss_transient(stack) // 2, "everything up to the logits")
        return Estimate(kept, "everything up to the loss, but the labels")

    def _kv_cache(self) -> Estimate:
        calls = generating_calls(self.analysis.trace)
        if calls and self.phase in ("forward", BACKWARD, _OPTIMIZER):
            return not_estimated("whether the program still holds a cache is its affair")
        number = self._call_number()
        spec = cache_spec(self.analysis, self.facts, self.models)
        if not calls or isinstance(spec, str) or spec.slots is not None or number is None:
            return at_high_water(self.analysis, self.facts, self.moment, "kv_cache")
        call = calls[number]
        before = calls[number - 1] if number and call.context else None
        layer = len(spec.layout.layers) if self.block is None else self.block + 1
        done = min(layer, len(spec.layout.layers))
        text = (
            f"{done} of {len(spec.layout.layers)} layers hold {call.context + call.tokens} tokens"
        )
        return Estimate(held_during(spec, before, Call(*call), done), text)

    def _call_number(self) -> int | None:
        """Place, among the calls with a cache, of the last one that began by the moment."""
        phases = self.analysis.trace.phases
        known = (phases.batch > 0) & (phases.tokens > 0) & (phases.context >= 0)
        begun = int((phases.begin_ns[known] <= self.moment.time_ns).sum())
        return begun - 1 if begun else None

    def _temporary(self) -> Estimate:
        if self.phase == _OPTIMIZER and len(self.facts.optimizers) == 1:
            return step_transient(self.facts.optimizers[0][1])
        at_loss = (
            self.phase == BACKWARD and self.moment.op == "aten._log_softmax_backward_data.default"
        )
        if at_loss and not isinstance(self.training, str):
            nbytes = loss_transient(self.training[2])
            return Estimate(nbytes, "gradients of the log-softmax and of the logits, in float32")
        return at_high_water(self.analysis, self.facts, self.moment, "temporary")


def _early(optimizer: OptimizerSpec) -> bool:
    """Whether an optimizer makes its state when it is itself made."""
    return optimizer.name == "Adagrad" and optimizer.module.startswith("torch.optim")
