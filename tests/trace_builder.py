"""Makes traces for tests from a few lines, through the real writer and the real reader.

A trace of one training step::

    build = TraceBuilder()
    weight = build.alloc(400, label="parameter", name="linear.weight")
    with build.phase("forward"):
        kept = build.alloc(100, op="aten::mm", module="linear")
    with build.phase("backward"):
        build.free(kept)
    trace = build.trace()

Each birth, death, phase edge and step begin takes `TICK_NS`; the clock starts at `BEGIN_NS`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from memprof.trace import LABELS, ORIGINS, Trace, TraceWriter, read
from memprof.trace.schema import TABLES

BEGIN_NS = 1_000_000_000
TICK_NS = 1_000
GIB = 1 << 30


class TraceBuilder:
    """Collects rows as a recorder would, then writes them as one trace.

    Args:
        header: entries that replace those of the default header.
    """

    def __init__(self, **header: Any) -> None:
        self.now = BEGIN_NS
        self._sink = io.BytesIO()
        self._writer = TraceWriter(self._sink, default_header() | header)
        self._strings: dict[str, int] = {"": 0}
        self._rows: dict[str, list[tuple[int, ...]]] = {name: [] for name in TABLES}
        self._facts: list[tuple[str, int, dict[str, Any]]] = []
        self._warnings: list[tuple[str, str, int]] = []
        self._strings_written = 1
        self._open_phases: list[tuple[int, ...]] = [(0,)]
        self._phase_count = 1
        self._allocation_count = 0

    def alloc(
        self,
        nbytes: int,
        *,
        op: str = "aten::empty",
        module: str = "",
        device: str = "cpu",
        origin: str = "operation",
        sequence: int = -1,
        previous: int = -1,
        label: str = "",
        name: str = "",
        tensor: str = "",
        stack: str = "",
    ) -> int:
        """Records a birth and returns its id, which is also the allocation's index in the trace."""
        identifier = self._allocation_count
        self._allocation_count += 1
        texts = (self.string(op), self.string(module), self._open_phases[-1][0])
        kind = (self.string(device), ORIGINS.index(origin), previous)
        self.row("allocations", identifier, nbytes, *texts, sequence, *kind)
        self.row("events", self.tick(), identifier)
        if label:
            self.label(identifier, label, name=name, module=module)
        if tensor or stack:
            self.row("details", identifier, self.string(tensor), self.string(stack))
        return identifier

    def free(self, *identifiers: int) -> None:
        """Records deaths, in the order given."""
        for identifier in identifiers:
            self.row("events", self.tick(), ~identifier)

    def label(self, identifier: int, kind: str, *, name: str = "", module: str = "") -> None:
        """Records what an allocation was seen to be: one of `LABELS`."""
        texts = (self.string(name), self.string(module))
        self.row("labels", self.now, identifier, LABELS.index(kind), *texts)

    def sequence(self, number: int, module: str, *, thread: int = 1) -> None:
        """Records that autograd nodes numbered from `number` on were made by `module`."""
        self.row("sequences", thread, number, self.string(module))

    @contextmanager
    def phase(
        self, name: str, *, batch: int = -1, tokens: int = -1, context: int = -1, thread: int = 1
    ) -> Iterator[int]:
        """Everything recorded inside belongs to a new phase, whose number it yields."""
        number = self.begin_phase(name, batch=batch, tokens=tokens, context=context, thread=thread)
        yield number
        self.end_phase()

    def begin_phase(
        self, name: str, *, batch: int = -1, tokens: int = -1, context: int = -1, thread: int = 1
    ) -> int:
        """Begins a phase that may never end, as in a program that is killed."""
        number = self._phase_count
        self._phase_count += 1
        scope = (self.string(name), self._open_phases[-1][0], thread, self.tick())
        self._open_phases.append((number, *scope, -1, batch, tokens, context))
        self.row("phases", *self._open_phases[-1])
        return number

    def end_phase(self) -> None:
        """Ends the innermost phase."""
        begun = self._open_phases.pop()
        self.row("phases", *begun[:5], self.tick(), *begun[6:])

    def step(self, *, declared: bool = False) -> None:
        """Begins the next turn of the loop, guessed unless `declared` by the user."""
        self.row("steps", self.tick(), int(declared))

    def workspace(
        self, nbytes: int, *, op: str = "aten::svd", module: str = "", device: str = "cpu"
    ) -> None:
        """Records bytes an operation used inside itself."""
        texts = (self.string(op), self.string(module), self._open_phases[-1][0])
        self.row("workspaces", self.now, nbytes, *texts, self.string(device))

    def sample(self, series: str, value: int) -> None:
        """Records a measured level, such as "host/rss_bytes"."""
        self.row("samples", self.now, self.string(series), value)

    def fact(self, kind: str, value: dict[str, Any]) -> None:
        """Records something observed of the program as a whole."""
        self._facts.append((kind, self.now, value))

    def warning(self, code: str, text: str, count: int = 1) -> None:
        """Records a remark on the recording."""
        self._warnings.append((code, text, count))

    def tick(self, ticks: int = 1) -> int:
        """Lets time pass and returns the clock."""
        self.now += ticks * TICK_NS
        return self.now

    def string(self, text: str) -> int:
        """Returns the number of a string."""
        return self._strings.setdefault(text, len(self._strings))

    def row(self, table: str, *values: int) -> None:
        """Records one row of a table as it is; the methods above know what belongs into it."""
        self._rows[table].append(values)

    def flush(self) -> None:
        """Writes what is pending, as a recorder does every second."""
        texts = list(self._strings)[self._strings_written :]
        if texts:
            self._writer.strings(self._strings_written, texts)
        self._strings_written = len(self._strings)
        for name in ("phases", *(name for name in TABLES if name != "phases")):
            rows, self._rows[name] = self._rows[name], []
            if rows:
                columns = dict(zip(TABLES[name], np.array(rows, np.int64).T, strict=True))
                self._writer.table(name, columns)
        for fact in self._facts:
            self._writer.fact(*fact)
        for warning in self._warnings:
            self._writer.warning(*warning)
        self._facts, self._warnings = [], []

    def to_bytes(self, *, complete: bool = True) -> bytes:
        """Returns the file; `complete=False` leaves out its closing line."""
        self.flush()
        length = self._sink.tell()
        if complete:
            self._writer.end({"end_ns": self.now, "allocations": self._allocation_count})
        text = self._sink.getvalue()
        self._sink.truncate(length)
        self._sink.seek(length)
        return text

    def trace(self, *, complete: bool = True) -> Trace:
        """Returns the trace as the reader gives it."""
        return read(io.BytesIO(self.to_bytes(complete=complete)))

    def write(self, path: Path, *, complete: bool = True) -> Path:
        """Writes the file and returns its path."""
        path.write_bytes(self.to_bytes(complete=complete))
        return path


def default_header() -> dict[str, Any]:
    """The header of a run on the CPU that began at `BEGIN_NS`."""
    return {
        "program": ["train.py"],
        "pid": 4242,
        "rank": None,
        "started_ns": 1_750_000_000_000_000_000,
        "begin_ns": BEGIN_NS,
        "memprof": "0.1.0",
        "torch": "2.13.0+cpu",
        "python": "3.11.7",
        "recorder": "dispatch",
        "recorder_reason": "asked for",
        "devices": {"cpu": {"name": "host memory", "total_bytes": 64 * GIB}},
    }
