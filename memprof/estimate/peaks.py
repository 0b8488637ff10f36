"""The highest moments of a training step: the loss, the deepest backward, the optimizer's step.

Each is the sum of what every category holds then; the highest of them is the step's peak. The
formulas are those of one device, with its own share of the model (`parallel.py`).
"""

from __future__ import annotations

from memprof.estimate.activations import LOSS_BYTES, Stack, in_backward, in_loss
from memprof.estimate.activations_experts import KNOWN as EXPERTS
from memprof.estimate.activations_experts import expert_width
from memprof.estimate.blocks import bytes_by_block
from memprof.estimate.dtypes import itemsize
from memprof.estimate.experts import expert_counts
from memprof.estimate.gradients import trained
from memprof.estimate.optimizer_step import step_transient
from memprof.estimate.result import Estimate, Peak, not_estimated
from memprof.estimate.training import (
    Step,
    communication,
    kept_gradients,
    kept_state,
    kept_weights,
    reduced_gradients,
    waiting_bytes,
)
from memprof.estimate.weights import buffers

#: ids and labels, both int64
INPUT_BYTES = 16
_NOTHING = Estimate(0, "nothing")


def training_peaks(step: Step) -> dict[str, Peak]:
    """What is there at the three moments that can be a step's highest.

    Returns:
        "loss", "backward" and "optimizer"; categories that are not known then say why.
    """
    whole = kept_gradients(step)
    if isinstance(step.stack, str):
        none = not_estimated(step.stack)
        open_ = {"activations": none, "temporary": none}
        return {
            "loss": Peak("loss", {**_base(step, "loss"), "gradients": _NOTHING, **open_}),
            "backward": Peak("backward", {**_base(step, "backward"), "gradients": whole, **open_}),
            "optimizer": _optimizer(step, 0),
        }
    stack = step.stack
    cache = 0 if step.run.recomputes else stack.cache
    held = LOSS_BYTES + (stack.outputs + cache if step.run.outputs_kept else 0)
    blocks, table = _backward(step, stack), _tied_table(step, held)
    return {
        "loss": _loss(step, stack),
        "backward": max(blocks, table, key=lambda peak: peak.known_bytes),
        "optimizer": _optimizer(step, held),
    }


def loss_transient(stack: Stack) -> int:
    """The gradients of the log-softmax and of the float32 logits, at once."""
    found = (part.nbytes for part in stack.head if part.what.startswith("log-softmax"))
    return 2 * next(found, 0)


def _base(step: Step, moment: str) -> dict[str, Estimate]:
    """What is there during a whole step but the first, and what is exchanged at the moment."""
    rows = step.run.batch * step.run.tokens
    return {
        "weights": kept_weights(step),
        "buffers": buffers(step.model),
        "optimizer_state": kept_state(step),
        "inputs": Estimate(INPUT_BYTES * rows, f"ids and labels of {rows:,} tokens × 8 B"),
        "communication": communication(step, moment),
    }


def _loss(step: Step, stack: Stack) -> Peak:
    kept, moment = in_loss(stack, step.run) + waiting_bytes(step, stack), loss_transient(stack)
    return Peak(
        "loss",
        {
            **_base(step, "loss"),
            "gradients": Estimate(0, "backward begins"),
            "activations": Estimate(kept, _all_blocks(stack)),
            "temporary": Estimate(
                moment, "gradients of the log-softmax and of the logits, in float32"
            ),
        },
    )


def _all_blocks(stack: Stack) -> str:
    return f"all {stack.layers} blocks, the head and the loss"


def _backward(step: Step, stack: Stack) -> Peak:
    blocks = bytes_by_block(list(reduced_gradients(step, trained(step.model))))
    blocks = blocks or [0] * stack.layers
    whole = _whole_gradients(step)
    working, waiting = _mlp_backward(step), waiting_bytes(step, stack)
    moments = []
    for left in range(stack.layers, 0, -1):
        gradients = whole + sum(blocks[left:])
        kept = in_backward(stack, step.run, left) + waiting
        moments.append((gradients + kept, left, gradients, kept))
    _, left, gradients, kept = max(moments)
    text = "head" if left == stack.layers else f"head and {stack.layers - left} blocks"
    return Peak(
        "backward",
        {
            **_base(step, "backward"),
            "gradients": Estimate(gradients, f"gradients of the {text}"),
            "activations": Estimate(kept, f"{left} of {stack.layers} blocks left"),
            "temporary": Estimate(working, f"gradients at work in the MLP of block {left - 1}"),
        },
    )


def _whole_gradients(step: Step) -> int:
    """Gradients of the head, which FSDP reduces last, and with it those of the block at work."""
    head = sum(tensor.nbytes for tensor in step.behind)
    if step.run.parallel.zero < 3:
        return head
    return head + max(bytes_by_block(trained(step.model)), default=0)


def _tied_table(step: Step, held: int) -> Peak:
    """The end of backward: the embedding's gradient is added to the head's, out of place."""
    whole = trained(step.model)
    behind = {tensor.storage for tensor in step.behind}
    table = whole[0].nbytes if whole and whole[0].storage in behind else 0
    text = "the gradient of the tied embedding and its sum with the head's"
    return Peak(
        "backward",
        {
            **_base(step, "backward"),
            "gradients": kept_gradients(step),
            "activations": Estimate(held, "loss and what the program holds of the output"),
            "temporary": Estimate(2 * table, text),
        },
    )


def _optimizer(step: Step, held: int) -> Peak:
    moment = _NOTHING if step.optimizer is None else step_transient(step.optimizer)
    return Peak(
        "optimizer",
        {
            **_base(step, "optimizer"),
            "gradients": kept_gradients(step),
            "activations": Estimate(held, "what the program still holds of the output"),
            "temporary": moment,
        },
    )


def _mlp_backward(step: Step) -> int:
    """Gradients of the block's output, of the product and one factor, and of a weight.

    Of experts every token is there as often as it was sent to one, less what they returned, which
    is not needed any more.
    """
    model, rows = step.model, step.run.batch * step.run.tokens
    hidden = int(model.config.get("hidden_size") or model.config.get("n_embd") or 1)
    element = itemsize(step.run.dtype or model.dtype or "float32")
    if model.model_type in EXPERTS:
        experts, chosen = expert_counts(model)
        inner = expert_width(model)
        elements = rows * (chosen * (2 * inner - hidden) + hidden) + experts * inner * hidden
        return element * elements
    inner = model.config.get("intermediate_size") or model.config.get("n_inner") or 4 * hidden
    return int(element * (rows * (2 * inner + hidden) + inner * hidden))
