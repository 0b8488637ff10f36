"""The highest moment of a device: when it was, what was held, what the largest things were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from memprof.cli.render.parts import UNKNOWN, bar, category, heading, indented, size
from memprof.cli.render.table import Column, Row, Table

Data = Mapping[str, Any]
LARGEST = 8
_CATEGORY_COLUMNS = (
    Column("category"),
    Column("measured", "number"),
    Column("estimated", "number"),
    Column("error", "number"),
    Column("share of the peak"),
)
_LARGEST_COLUMNS = (
    Column("", "number"),
    Column(""),
    Column("", "cut"),
    Column("", "cut"),
    Column("", "cut"),
)


def peak_line(device: Data, name: str, *, several: bool) -> Text:
    """``Peak 41.83 GiB at 6.214 s · step 2 · backward of model.layers.31``."""
    peak = device["peak"]
    where = f" of {name}" if several else ""
    place = peak["phase"] or "outside every phase"
    if peak["module"]:
        place += f" of {peak['module']}"
    step = "" if peak["step"] is None else f" · step {peak['step']}"
    amount = (f"Peak {size(peak['requested_bytes'])}{where}", "bold")
    return Text.assemble("\n", amount, f" at {peak['seconds']:.3f} s{step} · {place}\n")


def category_table(peak: Data) -> Table:
    """Measured against estimated, for every category that either of them knows of."""
    rows = []
    for name, measured in peak["by_category"].items():
        estimated = peak["estimated"].get(name, {}).get("bytes")
        if measured or estimated or name == "unattributed":
            rows.append(_category_row(name, measured, estimated, peak["requested_bytes"]))
    return Table(_CATEGORY_COLUMNS, rows)


def _category_row(name: str, measured: int, estimated: int | None, total: int) -> Row:
    error = UNKNOWN if estimated is None else size(measured - estimated, sign=True)
    share = bar(measured / total if total else 0.0, name)
    return category(name), size(measured), size(estimated), error, share


def not_estimated(peak: Data) -> Iterator[RenderableType]:
    """Says why a category that holds bytes has no estimate."""
    for name, nbytes in peak["by_category"].items():
        reason = peak["estimated"].get(name, {})
        if nbytes and reason and reason.get("bytes") is None and name not in _UNPREDICTABLE:
            yield indented(Text(f"{name}: {reason['formula']}", "dim"))


_UNPREDICTABLE = frozenset({"temporary", "unattributed"})


def frozen(peak: Data) -> Iterator[RenderableType]:
    """Says how much of the weights is trained, where some are and some are not."""
    weights = peak["weights"]
    if weights["trained_bytes"] and weights["frozen_bytes"]:
        trained, still = size(weights["trained_bytes"]), size(weights["frozen_bytes"])
        yield indented(f"Of the weights {trained} are trained and {still} are frozen.")


def unseen(device: Data) -> Iterator[RenderableType]:
    """Says how much operations used inside themselves on top, if that made a higher peak."""
    found = device["unseen"]
    if found["workspace_bytes"]:
        yield indented(
            f"Inside {_operation(found['op'])} another {size(found['workspace_bytes'])} were in "
            f"use for a moment: with them the highest total is "
            f"{size(found['workspaces_peak_bytes'])}."
        )


def largest(peak: Data) -> Iterator[RenderableType]:
    """The largest tensors alive at the peak, alike ones on one line."""
    if not peak["top"]:
        return
    yield heading("Largest at the peak")
    rows = [_group_row(group) for group in peak["top"][:LARGEST]]
    yield Table(_LARGEST_COLUMNS, rows)


def _group_row(group: Data) -> Row:
    alike = f" ({group['count']} alike)" if group["count"] > 1 else ""
    amount, kind = size(group["bytes"]), category(group["category"])
    return amount, kind, f"{_what(group)}{alike}", group["tensor"], _place(group["stack"])


def _what(group: Data) -> str:
    """A tensor's own name; of an activation, which has none, what made it."""
    maker = f"{group['module']} {_operation(group['op'])}".strip()
    if group["category"] == "activations" and group["module"]:
        return maker
    return group["name"] or maker or UNKNOWN


def _place(stack: list[str]) -> str:
    """File and line of the innermost frame, the file without its folder."""
    return PurePath(stack[0].partition(" ")[0]).name if stack else ""


def _operation(op: str) -> str:
    """An operation without what is the same in all their names."""
    return op.removeprefix("aten::").removeprefix("aten.").removesuffix(".default")
