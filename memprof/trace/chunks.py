"""One chunk of a trace file: checks it and adds it to what has been read."""

from __future__ import annotations

from typing import Any

from memprof.trace import columns
from memprof.trace.assemble import Parts
from memprof.trace.checks import MAX_TIME, Columns
from memprof.trace.document import Fact, Remark
from memprof.trace.schema import TABLES


def take(chunk: dict[str, Any], parts: Parts, number: int) -> None:
    """Adds the chunk on line `number` to `parts`.

    Raises:
        TraceFileError: if the writer cannot have written it.
    """
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
        raise parts.damaged(number, f"unknown chunk {kind!r:.40}")


def _take_strings(chunk: dict[str, Any], parts: Parts, number: int) -> None:
    texts = chunk.get("v")
    if chunk.get("i0") != len(parts.strings) or not isinstance(texts, list):
        raise parts.damaged(number, "strings out of order")
    if not all(isinstance(text, str) for text in texts):
        raise parts.damaged(number, "a string is not text")
    parts.strings.extend(texts)


def _take_fact(chunk: dict[str, Any], parts: Parts, number: int) -> None:
    match chunk:
        case {"kind": str(kind), "time_ns": int(time_ns), "value": dict(value)} if (
            abs(time_ns) <= MAX_TIME
        ):
            parts.facts.append(Fact(kind, time_ns, value))
        case _:
            raise parts.damaged(number, "a fact without kind, time or value")


def _take_warning(chunk: dict[str, Any], parts: Parts, number: int) -> None:
    match chunk:
        case {"code": str(code), "text": str(text), "count": int(count)}:
            parts.warnings[code] = Remark(code, text, count)
        case _:
            raise parts.damaged(number, "a warning without code, text or count")


def _table(name: str, chunk: dict[str, Any], parts: Parts, number: int) -> Columns:
    rows, encoded = chunk.get("n"), chunk.get("c")
    if type(rows) is not int or not isinstance(encoded, dict):
        raise parts.damaged(number, f"{name} without rows")
    try:
        return {column: columns.decode(encoded.get(column), rows) for column in TABLES[name]}
    except columns.ColumnError as error:
        raise parts.damaged(number, f"{name}: {error}") from None
