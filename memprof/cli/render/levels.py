"""From what tensors asked for to what the driver shows, on one line, with every gap named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from rich.console import RenderableType

from memprof.cli.render.parts import heading, indented, size

_NAMES = {"process": "this process"}
_GAPS = {
    ("requested", "allocated"): "rounding",
    ("allocated", "reserved"): "cached, free for reuse",
    ("reserved", "process"): "context and libraries",
    ("process", "device"): "other processes",
    ("reserved", "device"): "context, libraries and other processes",
    ("requested", "process"): "Python, libraries, memory not yet given back",
}
_UNTOUCHED = "asked for and not touched yet"


def levels(device: Mapping[str, Any], name: str) -> Iterator[RenderableType]:
    """The levels of bytes at the peak; nothing where only one level is known."""
    measured = {
        level: nbytes for level, nbytes in device["waterfall"].items() if nbytes is not None
    }
    if len(measured) < 2:
        return
    yield heading("From tensors to " + ("the process" if name == "cpu" else "nvidia-smi"))
    yield indented(_chain(measured, device.get("total_bytes")))


def _chain(measured: Mapping[str, int], total: int | None) -> str:
    text = "".join(
        f"{_name(lower)} {size(measured[lower])} ─ {_gap(lower, upper, measured)} → "
        for lower, upper in pairwise(measured)
    )
    last = list(measured)[-1]
    return f"{text}{_name(last)} {size(measured[last])}" + (f" of {size(total)}" if total else "")


def _gap(lower: str, upper: str, measured: Mapping[str, int]) -> str:
    gap = measured[upper] - measured[lower]
    if gap < 0:
        what = _UNTOUCHED if (lower, upper) == ("requested", "process") else "not told apart"
        return f"{what} {size(-gap)}"
    return f"{_GAPS.get((lower, upper), 'not told apart')} {size(gap)}"


def _name(level: str) -> str:
    return _NAMES.get(level, level)
