"""Processes that a test starts with multiprocessing record themselves beside it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from memprof.record.patches import Patches

DETAIL = "ops"
STACK_BYTES = 1 << 10  # tests use small models, and the failure message names lines


class Traced:
    """What a child runs: the target it was given, under a recording of its own."""

    def __init__(self, target: Callable[..., Any], beside: Path) -> None:
        self._target = target
        self._beside = beside

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the target; it is called as it is where the recording cannot begin."""
        tracing = _begun(child_path(self._beside, str(os.getpid())))
        try:
            return self._target(*args, **kwargs)
        finally:
            if tracing is not None:
                tracing.__exit__(None, None, None)


class Children:
    """The processes started while one test is recorded.

    Attributes:
        joined: traces that the test named itself.
    """

    def __init__(self) -> None:
        self.joined: list[Path] = []
        self._patches = Patches()

    def watch(self, beside: Path) -> None:
        """Has every process that starts from now on write a trace beside that of the test."""

        def recorded(start: Callable[[Any], None]) -> Callable[[Any], None]:
            def started(process: Any) -> None:
                target = process._target
                if target is not None:
                    process._target = Traced(target, beside)
                start(process)

            return started

        self._patches.replace(BaseProcess, "start", recorded)

    def leave(self) -> None:
        """Processes that start from now on are left alone."""
        self._patches.undo()

    def written(self, beside: Path) -> list[Path]:
        """The traces that children of the test wrote."""
        return sorted(beside.parent.glob(child_path(beside, "*").name))

    def paths(self, beside: Path) -> list[Path]:
        """All traces that count with the test's own."""
        return [*self.written(beside), *self.joined]


def child_path(beside: Path, name: str) -> Path:
    """The trace of a child, named after that of the test."""
    return beside.with_name(f"{beside.stem}.child-{name}.json")


def _begun(path: Path) -> Any:
    if "torch" not in sys.modules:
        return None
    from memprof.api import trace

    tracing = trace(path, force=True, detail=DETAIL, stack_bytes=STACK_BYTES)
    try:
        tracing.__enter__()
    except Exception as error:
        print(f"memprof: process {os.getpid()} is not recorded: {error}", file=sys.stderr)
        return None
    return tracing
