"""What is said when memory has run out, as plain lines: of the program's last moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from memprof.analyze.out_of_memory import out_of_memory
from memprof.analyze.waterfall import GAP_TEXTS, LEVEL_TEXTS
from memprof.trace import Trace
from memprof.units import format_bytes

Data = Mapping[str, Any]
_WIDTH = 14


def breakdown(trace: Trace) -> Iterator[str]:
    """The lines for a trace that an OutOfMemoryError ended; none where none was noted."""
    found = out_of_memory(trace)
    if found is not None:
        first, *more = lines(found)
        yield from (f"memprof: {first}", *more)


def lines(found: Data) -> Iterator[str]:
    """The lines for what `analyze.out_of_memory` found."""
    yield headline(found)
    if found["device"] is None:
        return
    for category, nbytes in sorted(found["by_category"].items(), key=lambda item: -item[1]):
        if nbytes or category == "unattributed":
            yield f"  {_bytes(nbytes)}  {category}"
    yield "Largest tensors alive"
    for tensor in found["largest"]:
        yield f"  {_bytes(tensor['bytes'])}  {_described(tensor)}"
    yield from _waterfall(found["waterfall"])


def headline(found: Data) -> str:
    """Where memory ran out, what was asked for and what was free."""
    if found["device"] is None:
        return "memory ran out, and no tensor had been recorded"
    step = "" if found["step"] is None else f", step {found['step']}"
    place = " of ".join(part for part in (found["phase"], found["module"]) if part)
    where = f"{found['device']} ran out of memory at {found['seconds']:.3f} s{step}"
    return f"{where}, {place or 'outside every phase'}{_wanted(found)}"


def _wanted(found: Data) -> str:
    asked, free, total = (found[f"{name}_bytes"] for name in ("asked", "free", "total"))
    of_all = "" if total is None else f" of {format_bytes(total)}"
    told = [
        "" if asked is None else f"asked for {format_bytes(asked)}",
        "" if free is None else f"{format_bytes(free)}{of_all} were free",
    ]
    text = ", ".join(part for part in told if part)
    return f": {text}" if text else ""


def _described(tensor: Data) -> str:
    place = PurePath(tensor["stack"][0].partition(" ")[0]).name if tensor["stack"] else ""
    what = tensor["name"] or tensor["module"]
    return "  ".join(part for part in (tensor["category"], what, tensor["tensor"], place) if part)


def _waterfall(found: Data) -> Iterator[str]:
    known = [level for level in LEVEL_TEXTS if found[level] is not None]
    if len(known) < 2:
        return
    yield "From tensors to the device"
    for level in known:
        for gap in found["gaps"]:
            if gap["upper"] == level:
                yield f"  {_bytes(gap['bytes'], sign=True)}    {GAP_TEXTS[gap['name']]}"
        yield f"  {_bytes(found[level])}  {LEVEL_TEXTS[level]}"


def _bytes(nbytes: int, *, sign: bool = False) -> str:
    return format_bytes(nbytes, sign=sign).rjust(_WIDTH)
