"""The recording of one attempt of one test, and what parts of it held."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from memprof.analyze import Analysis, analyze
from memprof.analyze.span import Span, span
from memprof.api import Tracing, trace
from memprof.errors import TraceFileError, UsageError
from memprof.pytest_plugin.children import DETAIL, STACK_BYTES, Children
from memprof.record.patches import Patches
from memprof.record.session import Session
from memprof.record.settle import settle
from memprof.trace import load

if TYPE_CHECKING:
    from memprof.config import Config

HOST = "cpu"
YIELDED = "the test records itself with memprof.trace(), and one recording runs at a time"
now_ns = time.perf_counter_ns  # the clock of traces


@dataclass(frozen=True)
class Measurement:
    """What a part of a test held, on every device.

    Attributes:
        analysis: of the test's own process.
        children: of the processes that it started.
        begin_ns, end_ns: the part, on the trace's clock.
        finished: False where the test raised before the part's end.
        notes: what could not be measured of it.
    """

    analysis: Analysis
    children: tuple[Analysis, ...]
    begin_ns: int
    end_ns: int
    finished: bool = True
    notes: tuple[str, ...] = ()

    @cached_property
    def devices(self) -> tuple[str, ...]:
        """The devices that any of the processes used; host memory if none."""
        used = {name: None for each in (self.analysis, *self.children) for name in each.devices}
        return tuple(used) or (HOST,)

    def span(self, device: str) -> Span:
        """What one device held."""
        return span(self.analysis, device, self.begin_ns, self.end_ns, self.children)

    def asked(self, device: str) -> tuple[str, ...]:
        """The devices that a check is about.

        Args:
            device: "cuda:0" for that one, "cuda" for each of that kind, "" for the accelerators
                that took part in the test, or host memory where none did.
        """
        if not device:
            changed = [name for name in self.devices if name != HOST and self._took_part(name)]
            return tuple(changed) or (HOST,)
        if device == HOST or ":" in device:
            return (device,)
        found = [name for name in self.devices if name.partition(":")[0] == device]
        return tuple(found) or (f"{device}:0",)

    def _took_part(self, device: str) -> bool:
        return self.span(device).growth().peak.bytes > 0


@dataclass
class Recording:
    """Records one attempt of a test.

    Attributes:
        path: the trace file.
        setup_ns: since when the test's own fixtures are made; those of a wider scope are not its
            own.
        body_ns: since when the test itself runs; 0 until then.
        yielded: whether the test began a recording of its own, which ended this one.
    """

    path: Path
    config: Config
    setup_ns: int = 0
    body_ns: int = 0
    yielded: bool = False
    _tracing: Tracing | None = None
    _children: Children = field(default_factory=Children)
    _patches: Patches = field(default_factory=Patches)

    def begin(self) -> None:
        """Begins to record, with the devices at rest.

        Raises:
            MemprofError: if a recording runs already, or the file cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._remove()
        settle()
        tracing = trace(
            self.path,
            force=True,
            recorder=self.config.recorder,
            stack_bytes=min(self.config.stack_bytes, STACK_BYTES),
            detail=DETAIL,
        )
        tracing.__enter__()
        self._tracing, self.path = tracing, tracing.path or self.path
        self._children.watch(self.path)
        self._patches.replace(Session, "start", self._yields)
        self.setup_ns = now_ns()

    def shared_fixture_made(self) -> None:
        """What was allocated before the body belongs to more tests than this one."""
        if not self.body_ns:
            self.setup_ns = now_ns()

    def body_begins(self) -> None:
        """The test's fixtures are made."""
        self.body_ns = now_ns()

    @staticmethod
    def now() -> int:
        """This moment on the trace's clock."""
        return now_ns()

    def so_far(self, begin_ns: int, *, finished: bool = True) -> Measurement:
        """What was held since `begin_ns`, with the devices at rest; the recording goes on."""
        if self._tracing is None:
            raise UsageError(YIELDED)
        settle()
        end_ns = now_ns()
        return self._measurement(analyze(self._tracing.so_far()), begin_ns, end_ns, finished)

    def end(self, *, finished: bool = True) -> Measurement:
        """Ends the recording; returns what was held since the test's own fixtures were made."""
        assert self._tracing is not None
        tracing, self._tracing = self._tracing, None
        settle()
        end_ns = now_ns()
        self._leave()
        tracing.__exit__(None, None, None)
        return self._measurement(tracing.analysis, self.setup_ns, end_ns, finished)

    def _yields(self, start: Callable[[Session], None]) -> Callable[[Session], None]:
        """A test may record itself: then this recording ends, as there is one at a time."""
        process = os.getpid()

        def started(session: Session) -> None:
            if os.getpid() == process:  # a forked child records beside it
                self.yielded = True
                self.stop()
            start(session)

        return started

    def stop(self) -> None:
        """Ends the recording if it runs."""
        if self._tracing is not None:
            tracing, self._tracing = self._tracing, None
            self._leave()
            tracing.__exit__(None, None, None)

    def _leave(self) -> None:
        self._children.leave()
        self._patches.undo()

    @property
    def runs(self) -> bool:
        """Whether it has begun and not ended."""
        return self._tracing is not None

    def join(self, path: Path) -> None:
        """Counts the trace of another process with this test."""
        self._children.joined.append(path)

    def discard(self) -> None:
        """Removes the files: nobody needs the trace of a test that passed."""
        self._remove()

    def _remove(self) -> None:
        for path in (self.path, *self._children.written(self.path)):
            path.unlink(missing_ok=True)

    def _measurement(
        self, analysis: Analysis, begin_ns: int, end_ns: int, finished: bool
    ) -> Measurement:
        children, notes = _read(self._children.paths(self.path))
        return Measurement(analysis, children, begin_ns, end_ns, finished, notes)


def _read(paths: Sequence[Path]) -> tuple[tuple[Analysis, ...], tuple[str, ...]]:
    """Traces of other processes, and why some of them cannot be read, as of one just begun."""
    children, notes = [], []
    for path in paths:
        try:
            children.append(analyze(load(path)))
        except TraceFileError as error:
            notes.append(f"not counted: {error}")
    return tuple(children), tuple(notes)
