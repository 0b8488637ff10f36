"""Reads a trace file, whole or torn, and refuses whatever `TraceWriter` cannot have written."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from memprof.errors import TraceFileError
from memprof.trace import columns
from memprof.trace.assemble import Parts, assemble
from memprof.trace.document import Fact, Trace, Remark
from memprof.trace.schema import FORMAT, TABLES, VERSION

MAX_LINE = 1 << 28


def load(path: str | Path) -> Trace:
    """Reads a trace file (`.json`, or the same compressed as `.gz` or `.zst`).

    Raises:
        TraceFileError: if the file is missing, is no memprof trace, is damaged, or was written
            in a newer format.
    """
    file = Path(path)
    try:
        with _open(file) as stream:
            return read(stream, str(path))
    except FileNotFoundError:
        raise TraceFileError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise TraceFileError(f"{path}: is a directory; name the trace file in it") from None
    except (OSError, EOFError, zlib.error) as error:
        raise TraceFileError(f"{path}: cannot be read: {error}") from None


def read_header(path: str | Path) -> dict[str, Any]:
    """Reads the first line only: instant on any size. Raises as `load` does."""
    file = Path(path)
    try:
        with _open(file) as stream:
            return _opening(stream.readline(MAX_LINE), str(path))
    except FileNotFoundError:
        raise TraceFileError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise TraceFileError(f"{path}: cannot be read: {error}") from None


def read(stream: BinaryIO, source: str = "<memory>") -> Trace:
    """Reads a trace from an open binary stream; `source` names it in messages. Raises as `load`."""
    parts = Parts(source=source, header=_opening(stream.readline(MAX_LINE), source))
    for number, line in _whole_lines(stream, parts):
        chunk = _parse(line, parts, number)
        if chunk is None:
            break
        _take(chunk, parts, number)
    return assemble(parts)


def _open(file: Path) -> BinaryIO:
    if file.suffix == ".gz":
        return cast(BinaryIO, gzip.open(file, "rb"))
    if file.suffix == ".zst":
        return _open_zstandard(file)
    return file.open("rb")


def _open_zstandard(file: Path) -> BinaryIO:
    try:
        import zstandard
    except ImportError:
        raise TraceFileError(
            f"{file}: reading .zst needs the zstandard package: pip install zstandard"
        ) from None
    return cast(BinaryIO, zstandard.open(file, "rb"))


def _opening(line: bytes, source: str) -> dict[str, Any]:
    try:
        opening = json.loads(line.rstrip() + b"]}")
    except ValueError:
        opening = None
    if not isinstance(opening, dict) or opening.get("format") != FORMAT:
        raise TraceFileError(f"{source}: not a memprof trace; memprof.trace() writes one")
    version = opening.get("version")
    if not isinstance(version, int) or not isinstance(opening.get("header"), dict):
        raise TraceFileError(f"{source}: damaged in its first line")
    if version > VERSION:
        raise TraceFileError(
            f"{source}: written in format {version}, and this memprof reads up to {VERSION}: "
            "upgrade with pip install -U torch-memprof"
        )
    return cast(dict[str, Any], opening["header"])


def _whole_lines(stream: BinaryIO, parts: Parts) -> Iterator[tuple[int, bytes]]:
    """Yields the lines that end in a newline; a torn one can only be the last, and is counted."""
    for number, line in enumerate(stream, start=2):
        if not line.endswith(b"\n"):
            parts.dropped_lines = 1
            return
        yield number, line


def _parse(line: bytes, parts: Parts, number: int) -> dict[str, Any] | None:
    """Returns the chunk on this line, or None on the closing line."""
    if line.startswith(b'{"k":"end"}],'):
        closing = _json(b'{"chunks":[' + line, parts, number)
        parts.summary, parts.complete = closing.get("summary", {}), True
        return None
    return _json(line.rstrip()[:-1], parts, number)


def _json(text: bytes, parts: Parts, number: int) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise parts.damaged(number, "not JSON") from None
    if not isinstance(value, dict):
        raise parts.damaged(number, "not a chunk")
    return value


def _take(chunk: dict[str, Any], parts: Parts, number: int) -> None:
    kind = chunk.get("k")
    if kind == "strings":
        _take_strings(chunk, parts, number)
    elif kind == "fact":
        _take_fact(chunk, parts, number)
    elif kind == "warning":
        _take_warning(chunk, parts, number)
    elif isinstance(kind, str) and kind in TABLES:
        parts.tables[kind].append(_table(kind, chunk, parts, number))
    else:
        raise parts.damaged(number, f"unknown chunk {kind!r}")


def _take_strings(chunk: dict[str, Any], parts: Parts, number: int) -> None:
    texts = chunk.get("v")
    if chunk.get("i0") != len(parts.strings) or not isinstance(texts, list):
        raise parts.damaged(number, "strings out of order")
    if not all(isinstance(text, str) for text in texts):
        raise parts.damaged(number, "a string is not text")
    parts.strings.extend(texts)


def _take_fact(chunk: dict[str, Any], parts: Parts, number: int) -> None:
    match chunk:
        case {"kind": str(kind), "time_ns": int(time_ns), "value": dict(value)}:
            parts.facts.append(Fact(kind, time_ns, value))
        case _:
            raise parts.damaged(number, "a fact without kind, time or value")


def _take_warning(chunk: dict[str, Any], parts: Parts, number: int) -> None:
    match chunk:
        case {"code": str(code), "text": str(text), "count": int(count)}:
            parts.warnings[code] = Remark(code, text, count)
        case _:
            raise parts.damaged(number, "a warning without code, text or count")


def _table(
    name: str, chunk: dict[str, Any], parts: Parts, number: int
) -> dict[str, npt.NDArray[np.int64]]:
    rows, encoded = chunk.get("n"), chunk.get("c")
    if not isinstance(rows, int) or not isinstance(encoded, dict):
        raise parts.damaged(number, f"{name} without rows")
    try:
        return {
            column: columns.decode(encoded.get(column), rows).astype(np.int64, copy=False)
            for column in TABLES[name]
        }
    except columns.ColumnError as error:
        raise parts.damaged(number, f"{name}: {error}") from None
