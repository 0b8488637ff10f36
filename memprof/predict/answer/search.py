"""The largest value of a program's argument with which it fits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from memprof.errors import UsageError
from memprof.predict.answer.again import Again

_RANGE = re.compile(r"(?P<name>[\w-]+)=(?P<least>\d+)\.\.(?P<most>\d+)")


@dataclass(frozen=True, slots=True)
class Range:
    """Values of one argument of a program, such as ``--batch``."""

    name: str
    least: int
    most: int


def parse_range(text: str) -> Range:
    """Reads ``batch=1..512``.

    Raises:
        UsageError: if the text is no such range.
    """
    match = _RANGE.fullmatch(text)
    if match is None or int(match["least"]) > int(match["most"]):
        raise UsageError(f"--search {text!r}: write it like batch=1..512, the least value first")
    return Range(match["name"], int(match["least"]), int(match["most"]))


def largest(again: Again, wanted: Range) -> dict[str, Any]:
    """Halves the range until the largest value that fits is known.

    Returns:
        `largest`, None if not even the least value fits; and `tried`, the bytes needed by value.
    """
    tried: dict[int, int | None] = {}

    def fits(value: int) -> bool:
        answer = again.predict(program=with_argument(again.program, wanted.name, value))
        tried[value] = None if answer is None else answer["needed_bytes"]
        return again.fits(answer)

    low, high = wanted.least - 1, wanted.most + 1
    if fits(wanted.least):
        low = wanted.least
        while high - low > 1:
            middle = min((low + high) // 2, 2 * low)  # grows slowly: a large one takes long
            low, high = (middle, high) if fits(middle) else (low, middle)
    return {
        "argument": wanted.name,
        "range": [wanted.least, wanted.most],
        "largest": low if low >= wanted.least else None,
        "tried": {str(value): tried[value] for value in sorted(tried)},
    }


def with_argument(program: Sequence[str], name: str, value: int) -> list[str]:
    """A program's line with an argument set, whether it stood there before or not."""
    option = f"--{name}"
    line, skipping = [], False
    for word in program:
        if skipping:
            skipping = False
        elif word == option:
            skipping = True
        elif not word.startswith(f"{option}="):
            line.append(word)
    return [*line, option, str(value)]
