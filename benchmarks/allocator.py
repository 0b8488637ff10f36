"""How long the allocator's model takes for a million events.

    python benchmarks/allocator.py [EVENTS]

Three programs: training steps (the same sizes in the same order, turn after turn), random sizes
and lifetimes, and one that leaves a thousand free blocks of different sizes behind it. For each the
seconds of processor time of a whole replay, its series of levels included; the exit code is 1 if
one takes more than three a million.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable

from memprof.predict.allocator import parse_settings
from memprof.predict.replay import Requests, replay

MIB = 1 << 20
LIMIT_SECONDS_PER_MILLION = 3.0
SETTINGS = ("", "expandable_segments:True", "max_split_size_mb:64")


class Program:
    """Requests in the making."""

    def __init__(self) -> None:
        self.subjects: list[int] = []
        self.nbytes: list[int] = []

    def malloc(self, nbytes: int) -> int:
        self.nbytes.append(nbytes)
        self.subjects.append(len(self.nbytes) - 1)
        return len(self.nbytes) - 1

    def free(self, number: int) -> None:
        self.subjects.append(~number)

    def requests(self) -> Requests:
        return Requests(self.subjects, self.nbytes)


def training(events: int) -> Requests:
    """48 layers: activations live from forward to backward, gradients until the step's end."""
    program = Program()
    while len(program.subjects) < events:
        activations = [
            program.malloc(size) for _ in range(48) for size in (8 * MIB, 32 * MIB, 3 * MIB, 4096)
        ]
        gradients = []
        for number in reversed(activations):
            workspace = program.malloc(16 * MIB)
            if program.nbytes[number] == 3 * MIB:
                gradients.append(program.malloc(12 * MIB))
            program.free(workspace)
            program.free(number)
        for number in gradients:
            program.free(number)
    return program.requests()


def random_sizes(events: int, kept: int = 400) -> Requests:
    """Sizes from 512 B to 32 MiB, about `kept` of them alive, freed in any order."""
    chance, program = random.Random(0), Program()
    sizes = [int(2 ** chance.uniform(9, 25)) for _ in range(500)]
    live: list[int] = []
    while len(program.subjects) < events:
        if len(live) < kept or chance.random() < 0.5:
            live.append(program.malloc(chance.choice(sizes)))
        else:
            place = chance.randrange(len(live))
            live[place], live[-1] = live[-1], live[place]
            program.free(live.pop())
    return program.requests()


def many_holes(events: int) -> Requests:
    """The same with 20,000 alive, so that thousands of free blocks lie between them."""
    return random_sizes(events, kept=20_000)


PROGRAMS: dict[str, Callable[[int], Requests]] = {
    "training steps": training,
    "random sizes": random_sizes,
    "many holes": many_holes,
}


def main(events: int) -> int:
    print(f"{'program':<16}{'settings':<28}{'events':>10}{'seconds':>9}{'reserved MiB':>14}")
    within = [
        measured(name, build(events), settings)
        for name, build in PROGRAMS.items()
        for settings in SETTINGS
    ]
    return 0 if all(within) else 1


def measured(name: str, requests: Requests, settings: str) -> bool:
    begin = time.process_time()
    result = replay(requests, parse_settings(settings))
    seconds = time.process_time() - begin
    print(
        f"{name:<16}{settings or 'default':<28}{len(requests):>10,}{seconds:>9.2f}"
        f"{result.reserved_peak / MIB:>14,.0f}"
    )
    return seconds <= LIMIT_SECONDS_PER_MILLION * len(requests) / 1e6


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
