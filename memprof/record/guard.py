"""Keeps memprof's own errors out of the program under study."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from memprof.record.journal import Journal

P = ParamSpec("P")


class Guard:
    """Records errors of memprof in the trace instead of raising them into the program."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def note(self, error: Exception, where: str) -> None:
        """Notes an error of ours; the first of each kind keeps its text, the rest are counted."""
        frame = traceback.extract_tb(error.__traceback__)[-1:]
        place = f"{frame[0].filename.rsplit('/', 1)[-1]}:{frame[0].lineno}" if frame else "?"
        self._journal.warn(
            f"error.{where}.{type(error).__name__}",
            f"memprof failed in {where} ({place}): {type(error).__name__}: {error}",
        )

    def __call__(self, function: Callable[P, None]) -> Callable[P, None]:
        """Wraps a callback so that it never raises."""

        @wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                function(*args, **kwargs)
            except Exception as error:
                self.note(error, function.__name__)

        return guarded
