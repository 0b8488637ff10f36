"""The public functions of memprof: recording, and what a recording says."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from memprof.config import checked_detail, checked_recorder, read_config
from memprof.errors import UsageError
from memprof.trace import CATEGORIES, Trace, load
from memprof.tracing import Predicting, Tracing, active_session
from memprof.units import parse_bytes

if TYPE_CHECKING:
    from memprof.analyze import Analysis
    from memprof.analyze.compare import CategoryComparison
    from memprof.estimate import RunEstimate, RunSpec
    from memprof.estimate.estimate import Machines

__all__ = ["Tracing", "compare", "estimate", "load", "phase", "predict", "step", "tag", "trace"]


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
        strategy: "fsdp2" shards models over all ranks, "ddp" replicates them, "tp" splits their
            matrices, where the code moves them to the GPU; "" leaves that to the code.
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
    session = active_session()
    if session is not None:
        session.end_step()


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Names a part of the program: ``with memprof.phase("prefill"): ...``; also a decorator."""
    session = active_session()
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
    session = active_session()
    if session is not None:
        session.tag(tensors, category, name)
