"""What recording costs, on the worst case there is: a model so small that only launches count.

    python benchmarks/overhead.py

A GPT of 8 layers and width 64 trains on 2 x 16 tokens on one thread. All variants take turns in
one process; the medians of their step times are compared as ratios, as these mean something on a
noisy machine. Starting and stopping a recorder, and the first steps under it, do not count.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

import memprof

LAYERS, WIDTH, HEADS, VOCABULARY, BATCH, TOKENS = 8, 64, 4, 256, 2, 16
LIMIT_OF_EMPTY_MODE = 1.4
LIMIT_OF_MEMTRACKER = 0.2
LIMIT_OF_UNTRACED = 1.15
LIMIT_WITH_OPS = 1.6


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.out(self._attend(self.qkv(self.attention_norm(x))))
        return x + self.down(functional.gelu(self.up(self.mlp_norm(x))))

    def _attend(self, qkv: torch.Tensor) -> torch.Tensor:
        heads = [part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in qkv.split(WIDTH, 2)]
        attended = functional.scaled_dot_product_attention(*heads, is_causal=True)
        return attended.transpose(1, 2).flatten(2)


class ToyGPT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(TOKENS, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.tokens(x) + self.places(torch.arange(x.shape[1]))
        for block in self.blocks:
            hidden = block(hidden)
        return self.head(self.norm(hidden))


class EmptyMode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class Program:
    """The training loop, one step a call."""

    def __init__(self) -> None:
        self.model = ToyGPT()
        self.optimizer = torch.optim.AdamW(self.model.parameters())
        self.batch = torch.randint(VOCABULARY, (BATCH, TOKENS))

    def step(self) -> None:
        self.optimizer.zero_grad()
        logits = self.model(self.batch)
        functional.cross_entropy(logits.view(-1, VOCABULARY), self.batch.view(-1)).backward()
        self.optimizer.step()


@contextlib.contextmanager
def memtracker(program: Program) -> Iterator[Callable[[], None]]:
    from torch.distributed._tools.mem_tracker import MemTracker

    tracker = MemTracker()
    tracker.track_external(program.model, program.optimizer)
    with tracker:
        yield tracker.reset_mod_stats  # or it refuses a second step


@contextlib.contextmanager
def torch_profiler(_: Program) -> Iterator[None]:
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ):
        yield


@contextlib.contextmanager
def recorded(recorder: str, detail: str, _: Program) -> Iterator[None]:
    with memprof.trace(recorder=recorder, detail=detail):
        yield


@contextlib.contextmanager
def empty_mode(_: Program) -> Iterator[None]:
    with EmptyMode():
        yield


UNTRACED, EMPTY = "untraced", "empty dispatch mode"
NATIVE, WITH_OPS = "memprof, native", "memprof, native, ops"
DISPATCH, MEMTRACKER = "memprof, dispatch hook", "PyTorch's MemTracker"
Variant = Callable[[Program], AbstractContextManager[Any]]
VARIANTS: dict[str, Variant] = {
    UNTRACED: lambda _: contextlib.nullcontext(),
    EMPTY: empty_mode,
    NATIVE: partial(recorded, "native", "modules"),
    WITH_OPS: partial(recorded, "native", "ops"),
    DISPATCH: partial(recorded, "dispatch", "modules"),
    "torch.profiler, memory": torch_profiler,
    MEMTRACKER: memtracker,
}
WARM_UP = 3
SLOW = 5  # MemTracker runs this many times fewer steps


def measure(rounds: int, steps: int) -> dict[str, list[float]]:
    """Seconds of every step, by variant."""
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    program = Program()
    for _ in range(rounds):
        for name, variant in VARIANTS.items():
            count = steps if name != MEMTRACKER else max(1, steps // SLOW)
            with variant(program) as between_steps:
                for turn in range(WARM_UP + count):
                    begun = time.perf_counter()
                    program.step()
                    if turn >= WARM_UP:
                        seconds[name].append(time.perf_counter() - begun)
                    if between_steps is not None:
                        between_steps()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=15, help="steps of a variant in a round")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print_table(measure(options.rounds, options.steps))


def print_table(seconds: dict[str, list[float]]) -> None:
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    untraced, empty, own = (medians[name] for name in (UNTRACED, EMPTY, DISPATCH))
    print(f"torch {torch.__version__}, one thread")
    print(f"{'':24}{'steps':>6}{'median ms':>11}{'x untraced':>12}{'x empty mode':>14}")
    for name, median in medians.items():
        print(
            f"{name:24}{len(seconds[name]):6}{median * 1e3:11.2f}"
            f"{median / untraced:12.2f}{median / empty:14.2f}"
        )
    print(
        f"native / untraced        {medians[NATIVE] / untraced:.2f}  (at most {LIMIT_OF_UNTRACED})"
    )
    print(
        f"native, ops / untraced   {medians[WITH_OPS] / untraced:.2f}  (at most {LIMIT_WITH_OPS})"
    )
    print(f"dispatch / empty mode    {own / empty:.2f}  (at most {LIMIT_OF_EMPTY_MODE})")
    print(
        f"dispatch / MemTracker    {own / medians[MEMTRACKER]:.2f}  (at most {LIMIT_OF_MEMTRACKER})"
    )


if __name__ == "__main__":
    main()
