"""What recording costs, on the worst case there is: a model so small that only launches count.

    python benchmarks/overhead.py

A GPT of 8 layers and width 64 trains on 2 x 16 tokens on one thread. Variants take turns in one
process; the medians of their step times are compared as ratios, as these mean something on a noisy
machine. PyTorch's own tools take theirs afterwards, with an untraced one among them: once they
have run in a process, its steps are slower under any observer. Starting and stopping a recorder,
and the first steps under it, do not count.
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
def unrecorded(_: Program) -> Iterator[None]:
    yield


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
OURS: dict[str, Variant] = {
    EMPTY: empty_mode,
    NATIVE: partial(recorded, "native", "modules"),
    WITH_OPS: partial(recorded, "native", "ops"),
    DISPATCH: partial(recorded, "dispatch", "modules"),
}
PYTORCHS: dict[str, Variant] = {
    "torch.profiler, memory": torch_profiler,
    MEMTRACKER: memtracker,
}
WARM_UP = 20
SLOW = 5  # MemTracker runs this many times fewer steps


def measure(variants: dict[str, Variant], rounds: int, steps: int) -> dict[str, list[float]]:
    """Seconds of every step of each variant, and of the same untraced."""
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    program = Program()
    for _ in range(rounds):
        for name, variant in {UNTRACED: unrecorded, **variants}.items():
            slower = SLOW if name == MEMTRACKER else 1
            with variant(program) as between_steps:
                for turn in range((WARM_UP + steps) // slower):
                    begun = time.perf_counter()
                    program.step()
                    if turn >= WARM_UP // slower:
                        seconds[name].append(time.perf_counter() - begun)
                    if between_steps is not None:
                        between_steps()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=30, help="steps of a variant in a round")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread")
    print(f"{'':24}{'steps':>6}{'median ms':>11}{'x untraced':>12}")
    ratios: dict[str, float] = {}
    for variants in (OURS, PYTORCHS):
        ratios |= printed(measure(variants, options.rounds, options.steps))
    print_limits(ratios)


def printed(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Prints a line a variant; returns its median step as a multiple of the untraced one."""
    untraced = statistics.median(seconds[UNTRACED])
    ratios = {name: statistics.median(times) / untraced for name, times in seconds.items()}
    for name, ratio in ratios.items():
        milliseconds = ratio * untraced * 1e3
        print(f"{name:24}{len(seconds[name]):6}{milliseconds:11.2f}{ratio:12.2f}")
    return ratios


def print_limits(ratios: dict[str, float]) -> None:
    own = ratios[DISPATCH]
    for what, ratio, limit in (
        ("native / untraced", ratios[NATIVE], LIMIT_OF_UNTRACED),
        ("native, ops / untraced", ratios[WITH_OPS], LIMIT_WITH_OPS),
        ("dispatch / empty mode", own / ratios[EMPTY], LIMIT_OF_EMPTY_MODE),
        ("dispatch / MemTracker", own / ratios[MEMTRACKER], LIMIT_OF_MEMTRACKER),
    ):
        print(f"{what:24} {ratio:.2f}  (at most {limit})")


if __name__ == "__main__":
    main()
