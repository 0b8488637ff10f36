"""The live tensors of a moment as a table that sorts and filters."""

from __future__ import annotations

from typing import Any

import dash_ag_grid as dag

from memprof.analyze import LiveSet, LiveTensor, Moment
from memprof_dashboard.amounts import format_bytes
from memprof_dashboard.scale import format_seconds
from memprof_dashboard.theme import GRID_OPTIONS, SELECT_ROW, label

#: Rows sent to the browser at most, the largest first.
ROWS = 1_000


def tensor_rows(live: LiveSet) -> list[dict[str, Any]]:
    """The largest tensors as rows of the table."""
    return [_row(tensor) for tensor in live.rows(ROWS)]


def count_text(live: LiveSet, moment: Moment) -> str:
    """How many tensors are listed and what they hold."""
    held = int(live.nbytes.sum())
    tensors = "1 tensor" if len(live) == 1 else f"{len(live):,} tensors"
    text = f"{tensors}, {format_bytes(held)}"
    if held != moment.requested_bytes:
        text += f" of {format_bytes(moment.requested_bytes)}"
    return text + (f"; the largest {ROWS:,} are listed" if len(live) > ROWS else "")


def tensor_grid(rows: list[dict[str, Any]]) -> dag.AgGrid:
    """The table."""
    return dag.AgGrid(
        id="tensors",
        rowData=rows,
        columnDefs=_COLUMNS,
        defaultColDef={"sortable": True, "filter": True, "resizable": True, "cellDataType": False},
        dashGridOptions={**GRID_OPTIONS, "rowSelection": SELECT_ROW},
        getRowId="params.data.allocation",
        className="grid",
        style={"height": "100%", "width": "100%"},
    )


def _row(tensor: LiveTensor) -> dict[str, Any]:
    freed = tensor.freed_seconds
    return {
        "allocation": str(tensor.allocation),
        "bytes": tensor.bytes,
        "size": format_bytes(tensor.bytes),
        "category": label(tensor.category),
        "key": tensor.category,
        "what": tensor.name or tensor.op,
        "module": tensor.module,
        "op": tensor.op,
        "tensor": tensor.tensor,
        "phase": tensor.phase,
        "age": tensor.age_seconds,
        "aged": format_seconds(tensor.age_seconds),
        "freed": None if freed is None else round(freed, 6),
        "rule": tensor.rule,
        "stack": "\n".join(tensor.stack) or None,
        "site": tensor.stack[0].rpartition("/")[2] if tensor.stack else "",
    }


def _text(field: str, header: str, *, tooltip: str = "", **more: Any) -> dict[str, Any]:
    return {"field": field, "headerName": header, "tooltipField": tooltip or field, **more}


# Long paths lose their beginning, not their end; the mark keeps a last sign of punctuation there.
_TAIL: dict[str, Any] = {
    "cellClass": "tail",
    "valueFormatter": {"function": "params.value + '\u200e'"},
}
_NUMBER = {"filter": "agNumberColumnFilter", "type": "rightAligned"}
_COLUMNS: list[dict[str, Any]] = [
    {
        "field": "bytes",
        "headerName": "Size",
        "width": 98,
        "valueFormatter": {"function": "params.data.size"},
        "sort": "desc",
        **_NUMBER,
    },
    {
        "field": "category",
        "headerName": "Category",
        "width": 134,
        "cellClass": {"function": "'swatch swatch-' + params.data.key"},
        "tooltipField": "rule",
    },
    _text("what", "Name", flex=3, minWidth=130, **_TAIL),
    _text("module", "Module", flex=3, minWidth=130, **_TAIL),
    _text("tensor", "Tensor", width=158),
    _text("site", "Where", tooltip="stack", flex=3, minWidth=130),
    _text("phase", "Born in", width=96, **_TAIL),
    {
        "field": "age",
        "headerName": "Age",
        "width": 78,
        "valueFormatter": {"function": "params.data.aged"},
        **_NUMBER,
    },
    {"field": "freed", "headerName": "Freed at s", "width": 100, **_NUMBER},
]
