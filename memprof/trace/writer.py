"""Writes a trace, append-only: every line is whole when it reaches the file.

The growing file is the journal. A program killed at any moment leaves the lines written so
far, and `memprof.trace.reader` reads them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from memprof.trace import columns
from memprof.trace.schema import FORMAT, TABLES, VERSION

CHUNK_ROWS = 65_536


class TraceWriter:
    """Appends the chunks of one trace to `sink`, a binary file opened without buffering.

    Args:
        sink: where the lines go; each line is one `write`.
        header: what is known of the program and the machine when the trace begins.
    """

    def __init__(self, sink: BinaryIO, header: Mapping[str, Any]) -> None:
        self._sink = sink
        opening = {"format": FORMAT, "version": VERSION, "header": dict(header), "chunks": []}
        self._write_line(_json(opening).removesuffix("]}"))

    def strings(self, first: int, texts: Sequence[str]) -> None:
        """Appends `texts` to the string table; the first of them has the number `first`."""
        self._chunk({"k": "strings", "i0": first, "v": list(texts)})

    def table(self, name: str, rows: Mapping[str, npt.NDArray[Any]]) -> None:
        """Appends rows to a table of `schema.TABLES`, one array a column, all of one length."""
        total = len(next(iter(rows.values())))
        for start in range(0, total, CHUNK_ROWS):
            part = {column: values[start : start + CHUNK_ROWS] for column, values in rows.items()}
            self._table_chunk(name, part, min(CHUNK_ROWS, total - start))

    def _table_chunk(self, name: str, rows: Mapping[str, npt.NDArray[Any]], count: int) -> None:
        encoded = ",".join(
            f'"{column}":{_column(columns.encode(np.asarray(rows[column]), dtype))}'
            for column, dtype in TABLES[name].items()
        )
        self._write_line(f'{{"k":"{name}","n":{count},"c":{{{encoded}}}}},')

    def fact(self, kind: str, time_ns: int, value: Mapping[str, Any]) -> None:
        """Appends one fact about the program: a model, an optimizer, a machine."""
        self._chunk({"k": "fact", "kind": kind, "time_ns": time_ns, "value": dict(value)})

    def warning(self, code: str, text: str, count: int = 1) -> None:
        """Appends a remark on the recording itself; of several with one code the last counts."""
        self._chunk({"k": "warning", "code": code, "text": text, "count": count})

    def end(self, summary: Mapping[str, Any]) -> None:
        """Closes the document; without this line the trace reads as one that ends early."""
        self._write_line('{"k":"end"}],"summary":' + _json(dict(summary)) + "}")

    def _chunk(self, chunk: dict[str, Any]) -> None:
        self._write_line(_json(chunk) + ",")

    def _write_line(self, line: str) -> None:
        pending = memoryview(line.encode("utf-8", "replace") + b"\n")
        while pending:
            pending = pending[self._sink.write(pending) :]


def _column(encoded: Mapping[str, str]) -> str:
    """As `_json`, which would look for what to escape in every letter of the base64."""
    return "{" + ",".join(f'"{key}":"{text}"' for key, text in encoded.items()) + "}"


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
