"""Training of transformers' models."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from tests.oracle.outcome import Program
from tests.oracle.probe import Probe
from tests.oracle.programs import models

STEPS, TOKENS, LAYERS = 2, 32, 3
LOSS_BYTES = 4
#: What a checkpoint keeps beside what autograd saves: the generator's state for every layer, and
#: the positions, their cosines and their sines, which all layers are given.
CHECKPOINT_BYTES = LAYERS * 5056 + TOKENS * (8 + 2 * 16 * 4)
Make = Callable[[], torch.nn.Module]


def train(make: Make, probe: Probe, micro_batches: int = 1, kept_bytes: int = LOSS_BYTES) -> None:
    with probe.traced():
        model = make()
        optimizer = torch.optim.AdamW(model.parameters())
        for _ in range(STEPS):
            for _ in range(micro_batches):
                tokens = torch.randint(1, models.VOCABULARY, (2, TOKENS))
                others = (tokens, *model.parameters(), *model.buffers())
                with probe.activations(*others, and_bytes=kept_bytes):
                    loss = model(input_ids=tokens, labels=tokens).loss
                loss.backward()
                probe.value(loss)
            probe.holds("gradients", *(parameter.grad for parameter in model.parameters()))
            optimizer.step()
            optimizer.zero_grad()
        probe.holds("weights", *model.parameters())
        probe.holds("buffers", *model.buffers())
        states = optimizer.state.values()
        probe.holds("optimizer_state", *(value for state in states for value in state.values()))
        probe.holds("gradients")


def checkpointed(reentrant: bool) -> torch.nn.Module:
    model = models.llama()
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    if reentrant:
        model.enable_input_require_grads()
    return model.train()


PROGRAMS = {
    "Llama": Program(partial(train, models.llama)),
    "Llama, eager attention": Program(
        partial(train, partial(models.llama, attn_implementation="eager"))
    ),
    "Llama, tied weights": Program(partial(train, partial(models.llama, tie_word_embeddings=True))),
    "Llama, checkpointing": Program(
        partial(train, partial(checkpointed, False), kept_bytes=LOSS_BYTES + CHECKPOINT_BYTES)
    ),
    "Llama, reentrant checkpointing": Program(
        partial(train, partial(checkpointed, True), kept_bytes=LOSS_BYTES + CHECKPOINT_BYTES)
    ),
    "Llama, gradient accumulation": Program(partial(train, models.llama, micro_batches=3)),
    "GPT-2": Program(partial(train, models.gpt2)),
    "Mixtral": Program(partial(train, models.mixtral)),
    "Mamba": Program(partial(train, models.mamba)),
    "T5": Program(partial(train, models.t5)),
}
