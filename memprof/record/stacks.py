"""Python stacks as text: where in the user's code an allocation was made."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import CodeType

import torch

from memprof.record.rows import Strings

MAX_FRAMES = 12
_HIDDEN = (
    str(Path(torch.__file__).parent) + os.sep,
    str(Path(__file__).parent.parent) + os.sep,
    "<frozen ",
)


class Stacks:
    """Captures stacks and numbers their texts, ``file.py:12 function`` a line, innermost first.

    Frames of PyTorch and of memprof are left out.
    """

    def __init__(self, strings: Strings) -> None:
        self._strings = strings
        self._places: dict[CodeType, str | None] = {}
        self._known: dict[tuple[tuple[CodeType, int], ...], int] = {}
        self._roots = sorted({str(Path.cwd()), *filter(None, sys.path)}, key=len, reverse=True)

    def capture(self) -> int:
        """Returns the string number of the calling thread's stack."""
        frame = sys._getframe(1)
        frames: list[tuple[CodeType, int]] = []
        while frame is not None and len(frames) < MAX_FRAMES:
            code = frame.f_code
            if self._place(code) is not None:
                frames.append((code, frame.f_lineno or 0))
            frame = frame.f_back  # type: ignore[assignment]
        key = tuple(frames)
        number = self._known.get(key)
        if number is None:
            text = "\n".join(f"{self._place(code)}:{line} {code.co_name}" for code, line in key)
            number = self._known[key] = self._strings.number(text)
        return number

    def cleaned(self, text: str) -> str:
        """The same for a whole stack of ``/full/path/file.py:12 function`` lines."""
        places = (line.partition(".py:") for line in text.splitlines())
        shown = ((self._shorten(path + dot[:3]), rest) for path, dot, rest in places if dot)
        lines = [f"{path}:{rest}" for path, rest in shown if path is not None]
        return "\n".join(lines[:MAX_FRAMES])

    def _place(self, code: CodeType) -> str | None:
        try:
            return self._places[code]
        except KeyError:
            place = self._places[code] = self._shorten(code.co_filename)
            return place

    def _shorten(self, filename: str) -> str | None:
        if filename.startswith(_HIDDEN):
            return None
        for root in self._roots:
            if filename.startswith(root + os.sep):
                return filename[len(root) + 1 :]
        return filename
