"""The public functions of memprof: recording, and what a recording says."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from html import escape
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, ParamSpec, TypeVar

from memprof.config import checked_detail, checked_recorder, read_config
from memprof.errors import OutputExistsError, TraceFileError, UsageError
from memprof.frames import hide_own_frames
from memprof.ranks import of_this_rank
from memprof.trace import CATEGORIES, Trace, load, read
from memprof.units import parse_bytes

if TYPE_CHECKING:
    from memprof.analyze import Analysis, Moment
    from memprof.analyze.compare import CategoryComparison
    from memprof.estimate import RunEstimate, RunSpec
    from memprof.estimate.estimate import Machines
    from memprof.predict.options import PredictOptions
    from memprof.predict.world import World
    from memprof.record.session import Options, Session

__all__ = ["Tracing", "compare", "estimate", "load", "phase", "predict", "step", "tag", "trace"]

P = ParamSpec("P")
R = TypeVar("R")


def trace(
    output: str | os.PathLike[str] | None = None,
    *,
    recorder: str | None = None,
    force: bool = False,
    stack_bytes: int | str | None = None,
    detail: str | None = None,
    self_check: bool = False,
    nvtx: bool | None = None,
) -> Tracing:
    """Records the memory of the code inside ``with memprof.trace(...)``, or of a function.

    Args:
        output: the trace file to write; None keeps the trace in memory only. Of several
            processes each writes its own: rank 0 of torchrun's writes ``trace.rank0.json`` for
            ``trace.json``.
        recorder: "native", the allocator observer; "dispatch", the torch dispatch hook; "auto",
            the first where it builds and loads, else the second.
        force: overwrite `output` if it exists.
        stack_bytes: allocations of at least this size keep their Python stack.
        detail: "ops" lets the allocator observer note the operator of every allocation as well,
            "modules" the module only. These three are, where not given, what ``[tool.memprof]``
            in the working directory's pyproject.toml says, else "auto", "64 KiB" and "modules".
        self_check: pause the recording for five of the first nine steps, and say whether steps
            without it allocate the same as steps with it.
        nvtx: make NVTX ranges of phases, steps and modules though nothing says that a tool
            listens; where one does they are made anyway. Read from the settings as well.

    Returns:
        a context manager and decorator; after the block its `trace`, `analysis`, `peak()` and
        `report()` say what was recorded.

    Raises:
        OutputExistsError: on entering, if `output` exists and `force` is not given.
        AlreadyTracingError: on entering, if a trace is being recorded in this process.
    """
    if callable(output):
        raise UsageError("@memprof.trace needs brackets: write @memprof.trace() or trace('t.json')")
    config = read_config()
    chosen = config.recorder if recorder is None else checked_recorder(recorder)
    kept = config.stack_bytes if stack_bytes is None else parse_bytes(stack_bytes)
    noted = config.detail if detail is None else checked_detail(detail)
    ranges = config.nvtx if nvtx is None else nvtx
    path = None if output is None else Path(output)
    return Tracing(path, chosen, force, kept, noted, self_check=self_check, nvtx=ranges)


def predict(
    output: str | os.PathLike[str] | None = None,
    *,
    device: str = "cuda",
    gpu: str = "h100",
    force: bool = False,
    stack_bytes: int | str | None = None,
    without: Iterable[str] = (),
    ranks: int | None = None,
    rank: int = 0,
    strategy: str = "",
    changes: Iterable[str] = (),
) -> Predicting:
    """Predicts the memory of the code inside ``with memprof.predict(...)``, without the hardware.

    The code runs on fake tensors, which have shapes and no contents: models must be made inside
    the block. What it yields is an ordinary trace.

    Args:
        output: the trace file to write; None keeps the trace in memory only.
        device: "cuda", where the code finds a GPU, or "cpu", where it finds none.
        gpu: the GPU that it finds, by its name in the catalogue.
        force: overwrite `output` if it exists.
        stack_bytes: allocations of at least this size keep their Python stack.
        without: names of rules about the GPU's kernels that are to be left out.
        ranks: size of the world that the code finds itself in; None for no distribution.
        rank: the one of them that is predicted.
        strategy: "fsdp2" shards models over all ranks where the code moves them to the GPU; ""
            leaves that to the code.
        changes: names of changes to make to the code, such as "checkpointing".

    Raises:
        UsageError: if there is no such device, GPU or rule.
    """
    from memprof.predict.options import PredictOptions

    config = read_config()
    kept = config.stack_bytes if stack_bytes is None else parse_bytes(stack_bytes)
    path = None if output is None else Path(output)
    options = PredictOptions(device, gpu, tuple(without), ranks, rank, strategy, tuple(changes))
    return Predicting(path, force, kept, options)


def _announce(text: str) -> None:
    print(f"memprof: {text}", file=sys.stderr)


class Tracing:
    """One use of `trace()`: records between entering and leaving.

    Attributes:
        path: the trace file; from entering on with this process's rank in its name, if it has one.
        quiet: do not explain an OutOfMemoryError that ends the traced code.
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
        self.quiet = False
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
            for line in breakdown(self.trace):
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
    session = _session()
    return session is not None and session.is_predicted


def _session() -> Session | None:
    """The active recording, without importing torch where nothing records."""
    module = sys.modules.get("memprof.record.session")
    return None if module is None else module.active()


def compare(analysis: Analysis | Trace | str | os.PathLike[str]) -> list[CategoryComparison]:
    """Holds what was measured against what analysis says, per device and category.

    Args:
        analysis: an analysis, a trace, or the path of a trace file.
    """
    from memprof.analyze import analyze
    from memprof.analyze.compare import compare as compare_analysis

    if isinstance(analysis, (str, os.PathLike)):
        analysis = load(Path(analysis))
    return compare_analysis(analyze(analysis) if isinstance(analysis, Trace) else analysis)


def estimate(model: object, run: RunSpec | None = None, hardware: Machines = None) -> RunEstimate:
    """Says by closed forms how much memory a run needs, without running it.

    Args:
        model: a name such as "llama-3-70b", the path of a config.json, .safetensors or .gguf file,
            a Hugging Face configuration (object or dict), a module, or the "model" fact of a trace.
        run: what is run: mode, batch, tokens, dtype, optimizer, parallelism; None is a training
            step of one token.
        hardware: one or several names of machines, such as "h100"; None takes all that are known.

    Raises:
        UsageError: if the model's configuration lacks what the formulas need, or the run cannot be.
    """
    from memprof.estimate import RunSpec
    from memprof.estimate import estimate as estimate_run

    return estimate_run(model, run or RunSpec(), hardware)


def step() -> None:
    """Marks the end of one turn of the training or generation loop."""
    session = _session()
    if session is not None:
        session.end_step()


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Names a part of the program: ``with memprof.phase("prefill"): ...``; also a decorator."""
    session = _session()
    if session is None:
        yield
        return
    scope, opened = session.begin_phase(name)
    try:
        yield
    finally:
        session.scopes.end(scope, opened)


def tag(tensors: object, category: str, name: str = "") -> None:
    """Says what tensors are, over whatever memprof would conclude: the user knows better.

    Args:
        tensors: a tensor, or lists, dicts, modules and objects that hold tensors.
        category: one of memprof's categories, such as "kv_cache".
        name: shown in front of each tensor's own name.

    Raises:
        UsageError: if the category does not exist.
    """
    if category not in CATEGORIES:
        raise UsageError(f"category {category!r} is unknown: choose one of {', '.join(CATEGORIES)}")
    session = _session()
    if session is not None:
        session.tag(tensors, category, name)
