"""A recording in use: from entering a `with` block until after it, when it says what it saw."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from html import escape
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, ParamSpec, TypeVar

from memprof.errors import OutputExistsError, TraceFileError, UsageError
from memprof.frames import hide_own_frames
from memprof.ranks import of_this_rank
from memprof.trace import Trace, load, read

if TYPE_CHECKING:
    from memprof.analyze import Analysis, Moment
    from memprof.predict.options import PredictOptions
    from memprof.predict.world import World
    from memprof.record.session import Options, Session

P = ParamSpec("P")
R = TypeVar("R")


def _announce(text: str) -> None:
    print(f"memprof: {text}", file=sys.stderr)


class Tracing:
    """One use of `trace()`: records between entering and leaving.

    Attributes:
        path: the trace file; from entering on with this process's rank in its name, if it has one.
        quiet: do not explain an OutOfMemoryError that ends the traced code.
        summarised: whoever traces says by itself which command to type next.
    """

    def __init__(
        self,
        path: Path | None,
        recorder: str,
        force: bool,
        stack_bytes: int,
        detail: str,
        *,
        self_check: bool = False,
        nvtx: bool = False,
    ) -> None:
        self.path = path
        self._recorder = recorder
        self._force = force
        self._stack_bytes = stack_bytes
        self._detail = detail
        self._self_check = self_check
        self._nvtx = nvtx
        self.quiet = self.summarised = False
        self._session: Session | None = None
        self._sink: BinaryIO | None = None
        self._trace: Trace | None = None
        self._analysis: Analysis | None = None

    def __enter__(self) -> Tracing:
        if os.environ.get("MEMPROF") == "0" or _is_predicting():
            return self
        from memprof.record.session import Session

        self._trace = self._analysis = None
        self._sink = self._open()
        try:
            self._session = Session(self._sink, self._options())
            self._session.start()
        except BaseException:
            self._session = None
            self._discard()
            raise
        return self

    def _options(self) -> Options:
        from memprof.record.session import Options

        return Options(
            recorder=self._recorder,
            stack_bytes=self._stack_bytes,
            detail=self._detail,
            announce=_announce,
            self_check=self._self_check,
            nvtx=self._nvtx,
        )

    def _open(self) -> BinaryIO:
        if self.path is None:
            return io.BytesIO()
        self.path = of_this_rank(self.path)
        try:
            return self.path.open("wb" if self._force else "xb", buffering=0)
        except FileExistsError:
            raise OutputExistsError(
                f"{self.path}: exists already; choose another name, or allow it to be "
                "overwritten with --force or trace(..., force=True)"
            ) from None
        except OSError as error:
            raise TraceFileError(f"{self.path}: cannot be written: {error.strerror}") from None

    def _discard(self) -> None:
        if self.path is not None and self._sink is not None:
            self._sink.close()
            self.path.unlink(missing_ok=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        session, self._session = self._session, None
        if session is None or self._sink is None:
            return
        if error is not None:
            session.raised(error)
            session.warn("exception", f"the traced code raised {type(error).__name__}: {error}")
            hide_own_frames(error)
        try:
            failed: Exception | None = session.stop()
        except Exception as own:
            failed = own
        if failed is not None:
            print(f"memprof: {self.path}: the trace is incomplete: {failed}", file=sys.stderr)
        if self.path is not None:
            self._sink.close()
        if error is not None:
            self._explain(error)

    def _explain(self, error: BaseException) -> None:
        """Says what filled the memory, if that ended the traced code; never fails."""
        from memprof.record.out_of_memory import is_out_of_memory

        if self.quiet or not is_out_of_memory(error):
            return
        from memprof.out_of_memory import breakdown

        try:
            lines = [*breakdown(self.trace)]
            if lines and self.path is not None and not self.summarised:
                lines.append(f"Next: memprof report {self.path}")
            for line in lines:
                print(line, file=sys.stderr)
        except Exception as own:
            print(f"memprof: what filled the memory cannot be told: {own}", file=sys.stderr)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Records every call of a function; the latest is what `trace` and `peak` speak of."""

        @wraps(function)
        def traced(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return function(*args, **kwargs)

        return traced

    @property
    def trace(self) -> Trace:
        """What was recorded. Raises UsageError before the block has ended."""
        if self._trace is None:
            if self._session is not None or self._sink is None:
                raise UsageError(
                    "the trace is there once the `with memprof.trace()` block has ended"
                )
            self._trace = self._load()
        return self._trace

    def so_far(self) -> Trace:
        """What has been recorded up to now; the recording goes on."""
        if self._session is None:
            return self.trace
        self._session.catch_up()
        return replace(self._load(), complete=True)  # nothing is missing but what is to come

    def _load(self) -> Trace:
        if self.path is not None:
            return load(self.path)
        assert isinstance(self._sink, io.BytesIO)
        return read(io.BytesIO(self._sink.getvalue()))

    @property
    def analysis(self) -> Analysis:
        """The trace with every allocation's category, and all that follows from it."""
        from memprof.analyze import analyze

        if self._analysis is None:
            self._analysis = analyze(self.trace)
        return self._analysis

    def __repr__(self) -> str:
        if self._session is not None or self._sink is None:
            return "<memprof trace: recording>" if self._session else "<memprof trace: not begun>"
        from memprof.notebook import as_text

        return f"<memprof trace: {as_text(self.analysis)}>"

    def _repr_html_(self) -> str:
        if self._session is not None or self._sink is None:
            return escape(repr(self))
        from memprof.notebook import as_html

        return as_html(self.analysis)

    def peak(self, device: str | None = None) -> Moment:
        """The moment of the highest memory, of the given device or of the fullest one."""
        chosen = device or max(
            self.analysis.devices, key=lambda d: self.analysis.device(d).peak.requested_bytes
        )
        return self.analysis.device(chosen).peak


class Predicting(Tracing):
    """One use of `predict()`: what runs between entering and leaving runs on fake tensors.

    Attributes:
        options: how the code is predicted.
    """

    def __init__(
        self, path: Path | None, force: bool, stack_bytes: int, options: PredictOptions
    ) -> None:
        super().__init__(path, "fake", force, stack_bytes, "modules")
        self.options = options
        self._world: World | None = None

    def __enter__(self) -> Predicting:
        from memprof.predict.world import World

        world = World(self.options)
        world.__enter__()
        try:
            super().__enter__()
        except BaseException:
            world.__exit__()
            raise
        self._world = world
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        world, self._world = self._world, None
        try:
            super().__exit__(kind, error, traceback)
        finally:
            if world is not None:
                world.__exit__()

    def _options(self) -> Options:
        from memprof.predict.world import about

        return replace(super()._options(), about=about(self.options.target))


def _is_predicting() -> bool:
    """Whether this process runs on fake tensors: what the program would record is recorded."""
    session = active_session()
    return session is not None and session.is_predicted


def active_session() -> Session | None:
    """The active recording, without importing torch where nothing records."""
    module = sys.modules.get("memprof.record.session")
    return None if module is None else module.active()
