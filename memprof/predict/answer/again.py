"""Predicts the same program again, changed, each time in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memprof.predict.changes import CHANGES
from memprof.predict.options import PredictOptions

SHARDED_OVER = 8
MOST = 3
Answer = dict[str, Any]


@dataclass(frozen=True)
class Again:
    """How a program was predicted, to be predicted anew.

    Attributes:
        options: of ``memprof predict``.
        program: the program and its arguments.
        gpu: the key of the GPU that it is to fit on.
    """

    options: tuple[str, ...]
    program: tuple[str, ...]
    gpu: str
    known: dict[tuple[str, ...], Answer | None] = field(default_factory=dict)

    def predict(self, *more: str, program: Sequence[str] | None = None) -> Answer | None:
        """The answer with more options or another program line; None where it fails."""
        called = tuple(self.program if program is None else program)
        if (*more, *called) not in self.known:
            self.known[*more, *called] = self._run(more, called)
        return self.known[*more, *called]

    def fits(self, answer: Answer | None) -> bool:
        """Whether an answer says that the program fits."""
        return answer is not None and bool(answer["fits"][self.gpu]["fits"])

    def _run(self, more: Sequence[str], program: Sequence[str]) -> Answer | None:
        with tempfile.TemporaryDirectory() as folder:
            own = ["--json", "--quiet", "--gpu", self.gpu, "--no-changes"]
            own += ["-o", str(Path(folder) / "predicted.json")]
            command = [sys.executable, "-m", "memprof", "predict", *own, *self.options, *more]
            command += _words(program)
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        return json.loads(done.stdout) if done.stdout.startswith("{") else None


def _words(program: Sequence[str]) -> list[str]:
    """A program's line with a mark behind its name: what follows is all its own."""
    place = 2 if program[0] == "-m" else 1
    return [*program[:place], "--", *program[place:]]


def again_options(options: PredictOptions) -> tuple[str, ...]:
    """The same options as words of a command line, without the GPU."""
    words = ["--device", options.device, "--rank", str(options.rank)]
    words += [] if options.ranks is None else ["--ranks", str(options.ranks)]
    words += ["--strategy", options.strategy] if options.strategy else []
    words += [word for name in options.without for word in ("--without", name)]
    words += [word for name in options.changes for word in ("--what-if", name)]
    return tuple(words)


def cheapest_changes(again: Again, needed: int) -> list[dict[str, Any]]:
    """The cheapest changes that make a program fit, alone or with all cheaper ones that help.

    Args:
        again: the program.
        needed: bytes that it needs without a change.
    """
    found: list[dict[str, Any]] = []
    together: list[str] = []
    for change in CHANGES:
        alone = _options(change.name)
        for options in (alone, [*together, *alone]):
            answer = again.predict(*options)
            if answer is not None and again.fits(answer):
                found.append(_row(_names(options), answer))
                break
        if len(found) == MOST:
            break
        if answer is not None and answer["needed_bytes"] < needed:
            together, needed = [*together, *alone], answer["needed_bytes"]
    return found


def _options(name: str) -> list[str]:
    if name == "fsdp2":
        return ["--ranks", str(SHARDED_OVER), "--strategy", name]
    return ["--what-if", name]


def _names(options: Sequence[str]) -> list[str]:
    return [
        value
        for option, value in zip(options[::2], options[1::2], strict=True)
        if option != "--ranks"
    ]


def _row(names: Sequence[str], answer: Answer) -> dict[str, Any]:
    known = {change.name: change for change in CHANGES}
    return {
        "changes": list(names),
        "text": " ".join(known[name].text for name in names),
        "cost": "; ".join(known[name].cost for name in names),
        "peak": answer["peak"],
        "needed_bytes": answer["needed_bytes"],
    }
