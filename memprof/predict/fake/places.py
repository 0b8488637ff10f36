"""The line of a program that asked for something."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import torch

_HIDDEN: Final = (
    str(Path(torch.__file__).parent) + os.sep,
    str(Path(__file__).parents[2]) + os.sep,
    "<",
)


def asking_line() -> str:
    """``file.py:12`` of the innermost frame that is neither PyTorch's nor memprof's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HIDDEN):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
