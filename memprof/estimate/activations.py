"""Activations: what the autograd graph of a training step keeps, at its highest.

A model is a stack of equal blocks with something before and a head behind. Without checkpointing
the highest moment is the end of forward. With it each block keeps its input alone, and the highest
moment is either that end or, in backward, the recomputation of the last block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from memprof.estimate.model_spec import ModelSpec
from memprof.estimate.result import Estimate, not_estimated
from memprof.estimate.run_spec import RunSpec
from memprof.units import format_bytes as _size

LOSS_BYTES: Final = 4
SHIFTED_LABELS: Final = "shifted labels"
#: Architectures whose blocks are built like Llama's.
_LLAMA_LIKE: Final = (
    *("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"),
    *("mixtral", "qwen3_moe"),
)
#: Checkpointing keeps the state of the random number generator with every block's input.
RNG_STATE_BYTES: Final = {"cpu": 5056, "cuda": 16}


class Part(NamedTuple):
    """Something that is kept for backward, and its bytes."""

    what: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class Stack:
    """What a model keeps for the backward of one call.

    Attributes:
        layers: number of blocks.
        block: what one block keeps.
        block_input: bytes of what flows from block to block.
        input_within: whether `block` holds its own input.
        around: what is kept from before the first block to the end of backward.
        head: what the final norm, the head and the loss keep.
        outputs: logits, which only the program holds.
        cache: keys and values in the model's output, whether the graph keeps them too or not.
        arguments: what checkpointing holds on top because blocks are called with it.
        again: what selective checkpointing makes again while the backward of a block runs.
    """

    layers: int
    block: tuple[Part, ...]
    block_input: int
    input_within: bool
    around: tuple[Part, ...]
    head: tuple[Part, ...]
    outputs: int
    cache: int = 0
    arguments: tuple[Part, ...] = ()
    again: int = 0


class Unknown(Exception):  # noqa: N818
    """The formulas do not cover this configuration; the text says what is in the way."""


def activations(model: ModelSpec, run: RunSpec) -> Estimate:
    """The most that a training step keeps for backward, besides what is kept anyway.

    Args:
        model: with its configuration; `known_models` lists the architectures that are known.
        run: of mode "train".
    """
    if run.mode != "train":
        return Estimate(0, "nothing is kept: there is no backward")
    try:
        stack = stack_of(model, run)
    except Unknown as reason:
        return not_estimated(str(reason))
    return kept_activations(stack, run)


def kept_activations(stack: Stack, run: RunSpec) -> Estimate:
    """The most that a training step keeps of a stack."""
    return _with_checkpoints(stack, run) if run.recomputes else _plain(stack, run)


def stack_of(model: ModelSpec, run: RunSpec) -> Stack:
    """What a model keeps, part by part.

    Raises:
        Unknown: if the formulas do not cover the model or the way it is run.
    """
    builder = _builders().get(model.model_type)
    if builder is None:
        known = ", ".join(sorted(_builders()))
        what = f'models of type "{model.model_type}"' if model.model_type else "this model"
        raise Unknown(f"no activation formula for {what} (there is one for {known})")
    if any(not tensor.requires_grad for tensor in model.parameters):
        raise Unknown("some weights are frozen: what their layers keep depends on which")
    if run.loss == "unknown":
        raise Unknown("the loss is computed outside of the model")
    return builder(model, run)


def known_models() -> frozenset[str]:
    """Architectures (`model_type`) that there is a formula for."""
    return frozenset(_builders())


def forward_end(stack: Stack, run: RunSpec) -> int:
    """Bytes that are kept when the loss has been computed."""
    blocks = _checkpoint(stack, run) if run.recomputes else total(stack.block)
    kept = total(stack.around) + stack.layers * blocks + total(stack.head)
    return kept + _outputs(stack, run) + (total(stack.arguments) if run.recomputes else 0)


def in_loss(stack: Stack, run: RunSpec) -> int:
    """Bytes that are kept when backward is at the log-softmax and is through with the labels."""
    labels = next((part.nbytes for part in stack.head if part.what == SHIFTED_LABELS), 0)
    return forward_end(stack, run) - output_before(stack, run) - labels - LOSS_BYTES


def in_backward(stack: Stack, run: RunSpec, layers_left: int) -> int:
    """Bytes that are kept while the backward of a block runs, itself and those below included.

    Args:
        stack: what the model keeps.
        run: how it is run.
        layers_left: number of blocks whose backward has not ended.
    """
    kept = total(stack.around) + LOSS_BYTES + (stack.outputs if run.outputs_kept else 0)
    if not run.recomputes:
        cache = stack.cache * (stack.layers - layers_left) // stack.layers
        kept += (cache if run.outputs_kept else 0) + (stack.again if layers_left else 0)
        return kept + layers_left * total(stack.block)
    again = total(stack.block) - (stack.block_input if stack.input_within else 0)
    inputs = layers_left * _checkpoint(stack, run)
    return kept + inputs + (again if layers_left else 0) + total(stack.arguments)


def _checkpoint(stack: Stack, run: RunSpec) -> int:
    return stack.block_input + RNG_STATE_BYTES.get(run.device, 0)


def total(parts: Iterable[Part]) -> int:
    """Bytes of several parts."""
    return sum(part.nbytes for part in parts)


def _outputs(stack: Stack, run: RunSpec) -> int:
    return (stack.outputs if run.outputs_kept else 0) + output_before(stack, run)


def output_before(stack: Stack, run: RunSpec) -> int:
    """Bytes of the output of the step before, where the program holds it through a forward."""
    cache = 0 if run.recomputes else stack.cache
    return stack.outputs + LOSS_BYTES + cache if run.outputs_before else 0


def _plain(stack: Stack, run: RunSpec) -> Estimate:
    formula = (
        f"{stack.layers} blocks × {_size(total(stack.block))} ({_largest(stack.block)}) + "
        f"{_size(total(stack.around))} around them + {_size(total(stack.head))} of head and loss"
        f"{_outputs_words(stack, run)}"
    )
    end, again = forward_end(stack, run), in_backward(stack, run, stack.layers)
    if again > end:
        formula += f"; highest in backward, with {_size(stack.again)} of attention made again"
    return Estimate(max(end, again), formula, _assumptions(run))


def _with_checkpoints(stack: Stack, run: RunSpec) -> Estimate:
    end, again = forward_end(stack, run), in_backward(stack, run, stack.layers)
    formula = f"{stack.layers} block inputs × {_size(stack.block_input)} + "
    if end >= again:
        formula += f"{_size(total(stack.head))} of head and loss, highest at the end of forward"
    else:
        formula += (
            f"one block recomputed in backward, {_size(total(stack.block))} "
            f"({_largest(stack.block)})"
        )
    assumed = (*_assumptions(run), "checkpointing without reentrant autograd")
    return Estimate(max(end, again), formula + _outputs_words(stack, run), assumed)


def _outputs_words(stack: Stack, run: RunSpec) -> str:
    words = ""
    if run.outputs_kept and stack.outputs:
        words += f" + {_size(stack.outputs)} of logits that the program holds"
    if run.outputs_before:
        words += f" + {_size(output_before(stack, run))} of output of the step before, held still"
    return words


def _largest(parts: tuple[Part, ...]) -> str:
    ranked = sorted(parts, key=lambda part: -part.nbytes)
    return "largest: " + ", ".join(f"{part.what} {_size(part.nbytes)}" for part in ranked[:2])


def _assumptions(run: RunSpec) -> tuple[str, ...]:
    on_host = run.device == "cpu"
    kernels = "the CPU's kernels" if on_host else "flash attention (checked on the CPU alone)"
    modules = f"{kernels} and transformers' own modules, not compiled"
    return (modules,) if run.padded else ("no padding in the batch", modules)


def _builders() -> dict[str, Callable[[ModelSpec, RunSpec], Stack]]:
    from memprof.estimate.activations_gpt2 import gpt2_stack
    from memprof.estimate.activations_llama import llama_stack

    return {"gpt2": gpt2_stack, **dict.fromkeys(_LLAMA_LIKE, llama_stack)}


def number(model: ModelSpec, name: str) -> int:
    """An integer of a model's configuration.

    Raises:
        Unknown: if the configuration lacks it.
    """
    value = model.config.get(name)
    if not isinstance(value, int):
        raise Unknown(f"the configuration of {model.root} lacks {name}")
    return value
