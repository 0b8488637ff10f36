"""Random programs: nested phases, steps, devices, resizes, labels, deaths at any time."""

from __future__ import annotations

import random

from memprof.trace import LABELS
from tests.trace_builder import TraceBuilder

PHASES = (
    "forward",
    "backward",
    "optimizer",
    "prefill",
    "decode",
    "recompute",
    "load",
    "train",
    "block",
)
MODULES = ("", "model", "model.layers.0.mlp", "model.layers.1.mlp", "model.layers.1.attn.q")
OPS = ("aten::mm", "aten::add", "aten::empty")
THREADS = (1, 1, 1, 7)
DEVICES = ("cpu", "cuda:0", "cuda:1")


class RandomProgram:
    """Makes random calls on a builder; the same seed makes the same trace."""

    def __init__(self, seed: int, devices: int = 2) -> None:
        self.chance = random.Random(seed)
        self.build = TraceBuilder()
        self.devices = DEVICES[:devices]
        self.alive: list[int] = []
        self.ever: list[int] = []
        self.depth = 0
        for grad in self.chance.choice(((), (True,), (False,), (True, False))):
            self.build.fact("call", {"root": "m", "phase": 1, "grad": grad})

    def run(self, turns: int) -> TraceBuilder:
        actions = (self.birth, self.death, self.label, self.scope, self.other)
        for _ in range(turns):
            self.chance.choices(actions, weights=(10, 7, 4, 5, 2))[0]()
        return self.build

    def birth(self) -> None:
        pick, resized = self.chance.choice, bool(self.ever) and self.chance.random() < 0.1
        made = self.build.alloc(
            self.chance.choice((0, 8, 64, 64, 512, self.chance.randrange(10_000))),
            op=pick(OPS),
            module=pick(MODULES),
            device=pick(self.devices),
            origin="resized" if resized else pick(("operation",) * 6 + ("before", "found")),
            sequence=pick((-1, -1, self.chance.randrange(50))),
            previous=pick(self.ever) if resized else -1,
            tensor=pick(("", "float32[2]", "float32[4]")),
            stack=pick(("", "a.py:1 f\nb.py:2 g")),
        )
        self.alive.append(made)
        self.ever.append(made)

    def death(self) -> None:
        if self.alive:
            self.build.free(self.alive.pop(self.chance.randrange(len(self.alive))))

    def label(self) -> None:
        if self.ever and self.chance.random() < 0.5:
            name, module = self.chance.choice(("", "a", "b.1", "b.2")), self.chance.choice(MODULES)
            kind = self.chance.choice(LABELS)
            self.build.label(self.chance.choice(self.ever), kind, name=name, module=module)

    def scope(self) -> None:
        if self.depth and self.chance.random() < 0.55:
            self.build.end_phase()
            self.depth -= 1
        elif self.depth < 7:
            names = PHASES if self.chance.random() < 0.6 else PHASES[-2:]
            thread = self.chance.choice(THREADS)
            self.build.begin_phase(self.chance.choice(names), thread=thread)
            self.depth += 1

    def other(self) -> None:
        actions = (self.build.step, self.step_now, self.build.tick, self.node, self.inside)
        self.chance.choice(actions)()

    def step_now(self) -> None:
        self.build.row("steps", self.build.now, 0)

    def node(self) -> None:
        number, thread = self.chance.randrange(50), self.chance.choice(THREADS)
        self.build.sequence(number, self.chance.choice(MODULES), thread=thread)

    def inside(self) -> None:
        size, device = self.chance.randrange(20_000), self.chance.choice(self.devices)
        self.build.workspace(size, op="aten::svd", device=device)
