"""Takes memprof's frames out of tracebacks, so that people see their own code only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import TracebackType

_OWN = str(Path(__file__).parent) + os.sep
_RUNNERS = ("<frozen runpy>",)
_OPERATOR_CALL = os.path.join("torch", "_ops.py")  # noqa: PTH118


def hide_own_frames(error: BaseException) -> None:
    """Takes memprof's frames out of an error's traceback, its causes' and its members'."""
    for each in _related(error):
        each.__traceback__ = _without_own(each.__traceback__)


def hide_runner(error: BaseException) -> None:
    """Takes away, after `hide_own_frames`, what began the program: it begins at its first line."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename in _RUNNERS:
        traceback = traceback.tb_next
    error.__traceback__ = traceback


def _related(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [current.__cause__, current.__context__]
        if isinstance(current, BaseExceptionGroup):
            waiting += current.exceptions


def _without_own(traceback: TracebackType | None) -> TracebackType | None:
    """Links the entries that are not memprof's; a loop, as a traceback may be very long."""
    kept: list[TracebackType] = []
    below_own = False
    while traceback is not None:
        below_own = _is_own(traceback, below_own)
        if not below_own:
            kept.append(traceback)
        traceback = traceback.tb_next
    for entry, following in pairwise([*kept, None]):
        if entry is not None:
            entry.tb_next = following
    return kept[0] if kept else None


def _is_own(traceback: TracebackType, below_own: bool) -> bool:
    """Whether an entry is memprof's, or the call of an operator that memprof passed on."""
    file = traceback.tb_frame.f_code.co_filename
    return file.startswith(_OWN) or (below_own and file.endswith(_OPERATOR_CALL))
