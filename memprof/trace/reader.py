"""Reads a trace file, whole or torn, and refuses whatever `TraceWriter` cannot have written."""

from __future__ import annotations

import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from memprof.errors import TraceFileError
from memprof.trace.assemble import Parts, assemble
from memprof.trace.checks import MAX_TIME
from memprof.trace.chunks import take
from memprof.trace.document import Trace
from memprof.trace.schema import FORMAT, VERSION

MAX_HEADER = 1 << 24
MAX_LINE = 1 << 28
#: How the last line begins.
END = b'{"k":"end"}],'


def load(path: str | Path) -> Trace:
    """Reads a trace file (`.json`, or the same compressed as `.gz` or `.zst`).

    Raises:
        TraceFileError: if the file is missing, is no memprof trace, is damaged, or was written
            in a newer format.
    """
    with _opened(Path(path)) as stream:
        return read(stream, str(path))


def read_header(path: str | Path) -> dict[str, Any]:
    """Reads the first line only: instant on any size. Raises as `load` does."""
    with _opened(Path(path)) as stream:
        return _opening(stream, str(path))


def read(stream: BinaryIO, source: str = "<memory>") -> Trace:
    """Reads a trace from an open binary stream; `source` names it in messages. Raises as `load`."""
    parts = Parts(source=source, header=_opening(stream, source))
    for number, line in _lines(stream, parts):
        if line.startswith(END):
            parts.summary, parts.complete = closing_summary(line, parts, number), True
            _check_nothing_follows(stream, parts, number)
            break
        take(line_document(line.rstrip().removesuffix(b","), parts, number), parts, number)
    return assemble(parts)


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    try:
        with _open(file) as stream:
            yield stream
    except FileNotFoundError:
        raise TraceFileError(f"{file}: no such file") from None
    except IsADirectoryError:
        raise TraceFileError(f"{file}: is a directory; name the trace file in it") from None
    except _unreadable() as error:
        reason = getattr(error, "strerror", None) or error
        raise TraceFileError(f"{file}: cannot be read: {reason}") from None


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
    return io.BufferedReader(zstandard.open(file, "rb"))


def _unreadable() -> tuple[type[Exception], ...]:
    """What reading a broken file raises; zstandard only has a say once it is in use."""
    zstandard = sys.modules.get("zstandard")
    own = (zstandard.ZstdError,) if zstandard is not None else ()
    return (OSError, EOFError, zlib.error, *own)


def _opening(stream: BinaryIO, source: str) -> dict[str, Any]:
    """Reads the first line and returns the header on it."""
    line = stream.readline(MAX_HEADER)
    if not line:
        raise TraceFileError(f"{source}: is empty; memprof.trace() writes a trace")
    if FORMAT.encode() not in line[:64] + stream.read(64 - len(line[:64])):
        raise TraceFileError(f"{source}: not a memprof trace; memprof.trace() writes one")
    try:
        opening = json.loads(line.rstrip() + b"]}")
    except (ValueError, RecursionError):
        opening = None
    if not isinstance(opening, dict) or opening.get("format") != FORMAT:
        raise TraceFileError(
            f"{source}: damaged in its first line; a trace is read as it was written, line by line"
        )
    _check_version(opening.get("version"), source)
    return _checked_header(opening.get("header"), source)


def _check_version(version: object, source: str) -> None:
    if type(version) is not int or version < 1:
        raise TraceFileError(f"{source}: damaged in its first line: no format version")
    if version > VERSION:
        raise TraceFileError(
            f"{source}: written in format {version}, and this memprof reads up to {VERSION}: "
            "upgrade with pip install -U torch-memprof"
        )


def _checked_header(header: object, source: str) -> dict[str, Any]:
    """Returns the header if what every view counts on has the right type."""
    match header:
        case {"begin_ns": int(begin_ns), "devices": dict(devices), "program": list(program)} if (
            abs(begin_ns) <= MAX_TIME
            and all(isinstance(about, dict) for about in devices.values())
            and all(isinstance(word, str) for word in program)
        ):
            return cast(dict[str, Any], header)
    raise TraceFileError(f"{source}: damaged in its first line: header incomplete")


def _check_nothing_follows(stream: BinaryIO, parts: Parts, number: int) -> None:
    """Refuses what follows the end; in a compressed file this also checks its checksum."""
    if stream.read(4096).strip():
        raise parts.damaged(number + 1, "something follows the end of the trace")


def closing_summary(line: bytes, parts: Parts, number: int) -> dict[str, Any]:
    """Reads the summary from the last line, which begins with `END`. Raises as `load`."""
    summary = line_document(b'{"chunks":[' + line, parts, number).get("summary")
    return summary if isinstance(summary, dict) else {}


def _lines(stream: BinaryIO, parts: Parts) -> Iterator[tuple[int, bytes]]:
    """Yields the lines after the first. Only the last can be torn: then it is counted instead."""
    number = 2
    while line := stream.readline(MAX_LINE):
        if line.endswith(b"\n") or _is_whole(line):
            yield number, line
        elif len(line) >= MAX_LINE:
            raise parts.damaged(number, "the line has no end")
        else:
            parts.dropped_lines = 1
        number += 1


def _is_whole(line: bytes) -> bool:
    """Whether a last line lost no more than its newline."""
    closes = line.startswith(END[:-2])
    text = b'{"chunks":[' + line if closes else line.removesuffix(b",")
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def line_document(text: bytes, parts: Parts, number: int) -> dict[str, Any]:
    """Reads the JSON of line `number`. Raises as `load`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise parts.damaged(number, "not JSON") from None
    if not isinstance(value, dict):
        raise parts.damaged(number, "not a chunk")
    return value
