"""Runs each program of a group as the step of a loop, and lets memprof check itself in it.

python -m tests.oracle.self_checks training out.json ['GPT-2' ...]
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import memprof
from memprof.analyze.self_check import self_check
from memprof.record.self_check import PLAN
from tests.oracle.outcome import Program
from tests.oracle.probe import CannotRunError


class Bystander:
    """Takes a probe's place where nothing is counted and nothing claimed."""

    tracing = True

    @contextmanager
    def traced(self) -> Iterator[None]:
        yield

    @contextmanager
    def activations(self, *others: torch.Tensor, and_bytes: int = 0) -> Iterator[None]:
        yield

    def holds(self, category: str, *tensors: torch.Tensor | None) -> None:
        pass

    def value(self, *values: torch.Tensor) -> None:
        pass

    def fact(self, name: str, value: object) -> None:
        pass

    def skip(self, reason: str) -> None:
        raise CannotRunError(reason)


def turn(program: Program) -> None:
    gc.collect()
    torch.manual_seed(0)
    program.run(Bystander())  # type: ignore[arg-type]


def checked(program: Program) -> dict[str, Any]:
    """What the self-check of the native recorder says of a loop of the program's runs."""
    try:
        turn(program)
        with memprof.trace(recorder="native", self_check=True) as recording:
            for _ in PLAN:
                turn(program)
                memprof.step()
    except CannotRunError as reason:
        return {"skipped": str(reason)}
    found = self_check(recording.trace)
    assert found is not None
    return found


def main(group: str, results: str, *chosen: str) -> None:
    torch.set_num_threads(1)
    module = importlib.import_module(f"tests.oracle.programs.{group}")
    programs: dict[str, Program] = module.PROGRAMS
    gc.freeze()
    found = {name: checked(programs[name]) for name in chosen or programs}
    Path(results).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
