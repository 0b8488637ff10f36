"""A plausible GPT training trace of any size, for benchmarks and for tests of the views."""

from __future__ import annotations

import math
import random
from typing import Any

from tests.trace_builder import TraceBuilder

HIDDEN, VOCABULARY, CONTEXT, BATCH, LAYERS = 256, 8_192, 128, 4, 12
FLOAT = 4
#: Events of the first step at most, which also makes the optimizer's state.
LONGEST_STEP = 1_300
BLOCK_PARAMETERS = {
    "ln_1.weight": (HIDDEN,),
    "ln_1.bias": (HIDDEN,),
    "attn.c_attn.weight": (HIDDEN, 3 * HIDDEN),
    "attn.c_attn.bias": (3 * HIDDEN,),
    "attn.c_proj.weight": (HIDDEN, HIDDEN),
    "attn.c_proj.bias": (HIDDEN,),
    "ln_2.weight": (HIDDEN,),
    "ln_2.bias": (HIDDEN,),
    "mlp.c_fc.weight": (HIDDEN, 4 * HIDDEN),
    "mlp.c_fc.bias": (4 * HIDDEN,),
    "mlp.c_proj.weight": (4 * HIDDEN, HIDDEN),
    "mlp.c_proj.bias": (HIDDEN,),
}
#: Of one block's forward: module, op, width in hidden units, whether backward needs it.
BLOCK_OUTPUTS = (
    ("ln_1", "aten.native_layer_norm.default", 1, True),
    ("attn.c_attn", "aten.addmm.default", 3, True),
    ("attn", "aten._scaled_dot_product_flash_attention_for_cpu.default", 1, True),
    ("attn.c_proj", "aten.addmm.default", 1, False),
    ("attn.resid_dropout", "aten.native_dropout.default", 1, True),
    ("", "aten.add.Tensor", 1, True),
    ("ln_2", "aten.native_layer_norm.default", 1, True),
    ("mlp.c_fc", "aten.addmm.default", 4, True),
    ("mlp.act", "aten.pow.Tensor_Scalar", 4, False),
    ("mlp.act", "aten.tanh.default", 4, True),
    ("mlp.act", "aten.mul.Tensor", 4, True),
    ("mlp.c_proj", "aten.addmm.default", 1, False),
    ("mlp.dropout", "aten.native_dropout.default", 1, True),
)


def synthetic_training(events: int, *, complete: bool = True, seed: int = 0) -> bytes:
    """Returns the file of a GPT trained with AdamW, with exactly `events` births and deaths.

    As many whole steps as fit are followed by short-lived tensors; with `complete=False` the
    program is killed after the last event instead. Fewer than the 145 births of its parameters
    are not possible.
    """
    run = _Training(random.Random(seed), math.inf if complete else events)
    try:
        while not complete or events - run.events >= LONGEST_STEP:
            run.train_step()
        run.pad(events)
    except _Killed:
        pass
    return run.build.to_bytes(complete=complete)


class _Killed(Exception):  # noqa: N818
    """The program's end in the middle of its work."""


class _Training:
    def __init__(self, chance: random.Random, limit: float) -> None:
        self.chance = chance
        self.limit = limit
        self.build = TraceBuilder(program=["train_gpt.py", "--layers", str(LAYERS)])
        self.events = 0
        self.sequences = 0
        self.weights: dict[str, int] = {}
        self.gradients: dict[str, int] = {}
        self.saved: list[tuple[int, str]] = []
        self.stepped = False
        self.shapes = _parameter_shapes()
        with self.build.phase("load"):
            for name, shape in self.shapes.items():
                self.weights[name] = self.parameter(name, shape)

    def parameter(self, name: str, shape: tuple[int, ...]) -> int:
        tensor = f"float32{list(shape)}"
        weight = self.born(_bytes(shape), op="aten.empty.memory_format", tensor=tensor)
        self.build.label(weight, "parameter", name=name, module=name.rpartition(".")[0])
        return weight

    def count(self) -> None:
        if self.events >= self.limit:
            raise _Killed
        self.events += 1
        if self.events % 50_000 == 0:
            self.build.flush()

    def born(self, nbytes: int, **about: Any) -> int:
        self.count()
        self.build.tick(self.chance.randrange(20))
        return self.build.alloc(nbytes, **about)

    def die(self, identifier: int) -> None:
        self.count()
        self.build.free(identifier)

    def train_step(self) -> None:
        self.build.step()
        while self.gradients:
            self.die(self.gradients.popitem()[1])
        tokens = self.born(BATCH * CONTEXT * 8, op="aten.randint.default", tensor="int64[4, 128]")
        self.build.label(tokens, "input", name="input_ids")
        with self.build.phase("forward", batch=BATCH, tokens=CONTEXT, context=0):
            logits = self.forward()
        self.backward()
        with self.build.phase("optimizer"):
            self.optimizer_step()
        self.die(logits)
        self.die(tokens)
        self.build.sample("host/rss_bytes", 300_000_000 + self.chance.randrange(1_000_000))

    def forward(self) -> int:
        if not self.stepped:
            self.facts()
        for layer in range(LAYERS):
            for module, op, width, kept in BLOCK_OUTPUTS:
                self.forward_op(f"transformer.h.{layer}.{module}".rstrip("."), op, width, kept)
        nbytes = BATCH * CONTEXT * VOCABULARY * FLOAT
        logits = self.born(
            nbytes, op="aten.mm.default", module="lm_head", stack="train_gpt.py:41 step"
        )
        self.build.label(logits, "saved_for_backward", module="lm_head")
        return logits

    def forward_op(self, module: str, op: str, width: int, kept: bool) -> None:
        self.build.sequence(self.sequences, module)
        self.sequences += 1
        nbytes, tensor = _activation(width)
        made = self.born(nbytes, op=op, module=module, tensor=tensor, stack="gpt.py:120 forward")
        if kept:
            self.build.label(made, "saved_for_backward", module=module)
            self.saved.append((made, module))
        else:
            self.die(made)

    def backward(self) -> None:
        number = self.sequences
        with self.build.phase("backward"):
            while self.saved:
                number -= 1
                made, module = self.saved.pop()
                flow = self.born(_activation(1)[0], op="aten.mm.default", sequence=number)
                self.die(made)
                if module.endswith(".mlp.dropout"):
                    self.block_gradients(module.removesuffix("mlp.dropout"), number)
                self.die(flow)
            self.gradient("transformer.wte.weight", 0)
            for name, gradient in self.gradients.items():
                self.build.label(gradient, "gradient", name=name, module=name.rpartition(".")[0])

    def block_gradients(self, prefix: str, sequence: int) -> None:
        for name in BLOCK_PARAMETERS:
            self.gradient(prefix + name, sequence)

    def gradient(self, name: str, sequence: int) -> None:
        about: dict[str, Any] = {"op": "aten.mm.default", "sequence": sequence}
        self.gradients[name] = self.born(_bytes(self.shapes[name]), **about)

    def optimizer_step(self) -> None:
        for name, shape in self.shapes.items():
            if not self.stepped:
                for state in ("exp_avg", "exp_avg_sq"):
                    made = self.born(_bytes(shape), op="aten.zeros_like.default")
                    self.build.label(made, "optimizer_state", name=f"{name}.{state}")
            self.die(self.born(_bytes(shape), op="aten._foreach_sqrt.default"))
        if not self.stepped:
            self.build.fact("optimizer", _optimizer_fact(self.shapes))
        self.stepped = True

    def facts(self) -> None:
        self.build.fact("model", _model_fact(self.shapes))
        inputs = {"input_ids": {"shape": [BATCH, CONTEXT], "dtype": "int64"}}
        call = {"root": "GPT2LMHeadModel", "phase": 2, "grad": True, "training": True}
        self.build.fact("call", call | {"autocast": None, "inputs": inputs})

    def pad(self, events: int) -> None:
        with self.build.phase("evaluate"):
            while self.events + 2 <= events:
                self.die(self.born(1_024, op="aten.mul.Tensor"))
            if self.events < events:
                self.born(1_024, op="aten.mul.Tensor")


def _parameter_shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"transformer.wte.weight": (VOCABULARY, HIDDEN)}
    for layer in range(LAYERS):
        shapes |= {f"transformer.h.{layer}.{name}": s for name, s in BLOCK_PARAMETERS.items()}
    return shapes


def _bytes(shape: tuple[int, ...]) -> int:
    total = FLOAT
    for size in shape:
        total *= size
    return total


def _activation(width: int) -> tuple[int, str]:
    shape = (BATCH, CONTEXT, width * HIDDEN)
    return _bytes(shape), f"float32{list(shape)}"


def _model_fact(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    parameters = [
        {"name": name, "requires_grad": True, "storage": number, **_tensor(shape)}
        for number, (name, shape) in enumerate(shapes.items())
    ]
    sizes = {"n_embd": HIDDEN, "n_layer": LAYERS, "n_head": 4, "n_positions": CONTEXT}
    return {
        "root": "GPT2LMHeadModel",
        "class": "transformers.models.gpt2.modeling_gpt2.GPT2LMHeadModel",
        "config": {"model_type": "gpt2", "vocab_size": VOCABULARY, "n_inner": None, **sizes},
        "attention": "sdpa",
        "gradient_checkpointing": False,
        "parameters": parameters,
        "buffers": [],
    }


def _optimizer_fact(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    options = {"lr": 1e-4, "betas": [0.9, 0.999], "amsgrad": False, "foreach": None, "fused": None}
    group = {"options": options, "parameters": [_tensor(shape) for shape in shapes.values()]}
    return {"class": "AdamW", "module": "torch.optim.adamw", "groups": [group]}


def _tensor(shape: tuple[int, ...]) -> dict[str, Any]:
    return {"shape": list(shape), "dtype": "float32", "device": "cpu"}
