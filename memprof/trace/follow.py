"""Reads a trace that is still being written, each line of it once."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from memprof.errors import TraceFileError
from memprof.trace.assemble import Parts, assemble
from memprof.trace.chunks import take
from memprof.trace.document import Trace
from memprof.trace.reader import END, closing_summary, line_document, read_header


class Follower:
    """Follows one trace file; a file that is written anew is read anew.

    Args:
        path: an uncompressed trace file.

    Raises:
        TraceFileError: for what is no trace, and for a compressed one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.suffix in (".gz", ".zst"):
            raise TraceFileError(
                f"{path}: a compressed trace does not grow; view it without follow"
            )
        self._begin()

    @property
    def complete(self) -> bool:
        """Whether the trace has been closed."""
        return self._parts.complete

    def poll(self) -> Trace | None:
        """Reads what has been written since the last time.

        Returns:
            The whole trace up to now; None where there is no new line.

        Raises:
            TraceFileError: if the file is damaged or gone.
        """
        lines = self._new_lines()
        if not lines:
            return None
        for line in lines:
            self._take(line)
        # Assembling takes the columns out of their chunks, which are needed again.
        tables = {
            name: [dict(chunk) for chunk in kept] for name, kept in self._parts.tables.items()
        }
        return assemble(replace(self._parts, tables=tables, strings=[*self._parts.strings]))

    def _begin(self) -> None:
        self._parts = Parts(source=str(self.path), header=read_header(self.path))
        self._position, self._line = 0, 0
        self._identity: int | None = None

    def _new_lines(self) -> list[bytes]:
        try:
            with self.path.open("rb") as stream:
                state = os.fstat(stream.fileno())
                if self._identity not in (None, state.st_ino) or state.st_size < self._position:
                    self._begin()
                self._identity = state.st_ino
                stream.seek(self._position)
                text = stream.read()
        except OSError as error:
            raise TraceFileError(f"{self.path}: cannot be read: {error.strerror}") from None
        whole = len(text) if self._closes(text) else text.rfind(b"\n") + 1
        self._position += whole
        return text[:whole].splitlines()

    def _closes(self, text: bytes) -> bool:
        """Whether the text ends with the trace's last line, which needs no newline."""
        last = text.rpartition(b"\n")[2]
        return last.startswith(END) and last.endswith(b"}")

    def _take(self, line: bytes) -> None:
        self._line += 1
        if self._line == 1 or not line.strip():
            return
        if line.startswith(END):
            self._parts.summary = closing_summary(line, self._parts, self._line)
            self._parts.complete = True
        else:
            document = line_document(line.rstrip().removesuffix(b","), self._parts, self._line)
            take(document, self._parts, self._line)
