"""The journal: drains what the recorders noted into the trace file, every second or so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from memprof.record.rows import Rows, Strings
from memprof.trace import TraceWriter
from memprof.trace.schema import TABLES
from memprof.trace.writer import CHUNK_ROWS

now_ns = time.perf_counter_ns

#: Names of memprof's own threads begin so.
OWN_THREADS = "memprof-"
FLUSH_SECONDS = 1.0
BEAT_SECONDS = 0.05


def _unheard(series: str, value: int) -> None:
    pass


class Source(Protocol):
    """Has rows of its own until they are written."""

    def waiting(self) -> int:
        """How many events wait; called at every beat."""

    def carry(self) -> None:
        """Brings all rows into the journal's tables."""


class Journal:
    """All tables of one recording, and the thread that carries them to the file.

    Attributes:
        tables: pending rows by table name.
        strings: texts by number.
        sources: whoever has rows elsewhere, which join the tables when these are written.
        sampled: is told of every sample: its series and its value.
    """

    def __init__(self, sink: BinaryIO, header: Mapping[str, Any]) -> None:
        self.tables = {name: Rows(name) for name in TABLES}
        self.strings = Strings()
        self._facts: list[tuple[str, int, Mapping[str, Any]]] = []
        self._warnings: dict[str, tuple[str, int]] = {}
        self._dirty_warnings: set[str] = set()
        self._sink = sink
        self._writer = TraceWriter(sink, header)
        self._writing = threading.Lock()
        self._stopping = threading.Event()
        self._flushed = time.monotonic()
        self.sources: list[Source] = []
        self.sampled: Callable[[str, int], None] = _unheard
        self._beats: list[Callable[[], None]] = []
        self._thread = threading.Thread(
            target=self._beat, name=f"{OWN_THREADS}journal", daemon=True
        )
        self._broken: OSError | None = None

    def start(self, *beats: Callable[[], None]) -> None:
        """Starts the writing thread; each of `beats` is called about twenty times a second."""
        self._beats.extend(beats)
        self._thread.start()

    @property
    def ident(self) -> int | None:
        """The writing thread's identity."""
        return self._thread.ident

    def sample(self, values: Mapping[str, int], group: str) -> None:
        """Notes levels measured now, as the series `<group>/<name>`."""
        time_ns = now_ns()
        for name, value in values.items():
            series = f"{group}/{name}"
            self.tables["samples"].add((time_ns, self.strings.number(series), value))
            self.sampled(series, value)

    def fact(self, kind: str, value: Mapping[str, Any]) -> None:
        """Notes a fact about the program as a whole."""
        self._facts.append((kind, now_ns(), value))

    def warn(self, code: str, text: str) -> None:
        """Notes a remark on the recording; the same `code` again is only counted."""
        first, count = self._warnings.get(code, (text, 0))
        self._warnings[code] = (first, count + 1)
        self._dirty_warnings.add(code)

    def flush(self) -> None:
        """Writes all there is so far; keeps quiet where the disk is full: the program goes on."""
        with self._writing:
            self._flushed = time.monotonic()
            for source in self.sources:
                source.carry()
            if self._broken is None:
                try:
                    self._write()
                except OSError as error:
                    self._broken = error
            else:
                for rows in self.tables.values():
                    rows.drain()

    def close(self, summary: Mapping[str, Any]) -> OSError | None:
        """Stops the thread and ends the document; returns what kept it from being whole."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self.flush()
        if self._broken is None:
            try:
                self._writer.end(summary)
            except OSError as error:
                self._broken = error
        return self._broken

    def _beat(self) -> None:
        while not self._stopping.wait(BEAT_SECONDS):
            for beat in self._beats:
                beat()
            waiting = sum(source.waiting() for source in self.sources)
            overdue = time.monotonic() - self._flushed >= FLUSH_SECONDS
            if overdue or waiting + len(self.tables["events"]) >= CHUNK_ROWS:
                self.flush()

    def _write(self) -> None:
        # Drained from the last table to the first, and written from the first to the last, so
        # that nothing reaches the file before what it refers to.
        drained = {name: self.tables[name].drain() for name in reversed(TABLES)}
        _sort_by_time(drained["events"])
        facts, self._facts = self._facts, []
        first, texts = self.strings.drain()
        if texts:
            self._writer.strings(first, texts)
        for name in ("phases", *(name for name in TABLES if name != "phases")):
            if len(next(iter(drained[name].values()))):
                self._writer.table(name, drained[name])
        for kind, time_ns, value in facts:
            self._writer.fact(kind, time_ns, value)
        while self._dirty_warnings:
            code = self._dirty_warnings.pop()
            self._writer.warning(code, *self._warnings[code])


def _sort_by_time(rows: dict[str, npt.NDArray[np.int64]]) -> None:
    """Brings the rows of several sources into one order."""
    if (np.diff(rows["time_ns"]) < 0).any():
        order = np.argsort(rows["time_ns"], kind="stable")
        rows.update({column: values[order] for column, values in rows.items()})
