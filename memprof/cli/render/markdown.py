"""What grew between two traces, as Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from memprof.cli.render.diff import changed_categories, figures, tensor_name, tensor_place

Data = Mapping[str, Any]
SHOWN = 5


def diff_markdown(document: Data) -> str:
    """Renders what `diff_answer` says; ends with a newline."""
    return "\n".join(_lines(document)) + "\n"


def _lines(document: Data) -> Iterator[str]:
    yield "### Memory"
    yield ""
    yield from _verdict(document)
    for name, device in document["devices"].items():
        yield from _device(name, device)
    if not document["devices"]:
        yield "Neither trace has anything."
    yield f"`{document['before']['source']}` → `{document['after']['source']}`"


def _verdict(document: Data) -> Iterator[str]:
    for excess in document["exceeded"]:
        yield f"- **Limit exceeded:** {excess['sentence']}"
    if document["limits"] and not document["exceeded"]:
        yield f"Within the limits: {', '.join(document['limits'])}."
    if document["limits"]:
        yield ""


def _device(name: str, device: Data) -> Iterator[str]:
    yield from _table(
        (f"highest on {name}", "before", "after", "change", "%"),
        [
            *((kind, *figures(row)) for kind, row in changed_categories(device)),
            ("**peak of all**", *figures(device["peak"])),
        ],
    )
    if device["tensors"]:
        yield from _table(
            ("changed most at the peak", "before", "after", "change", "%", "made at"),
            [_tensor(row) for row in device["tensors"][:SHOWN]],
        )


def _tensor(row: Data) -> tuple[str, ...]:
    place = tensor_place(row)
    made_at = f"`{place}`" if place else ""
    return f"{row['category']} `{tensor_name(row)}`", *figures(row), made_at


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield _row(titles)
    yield _row("---:" if 0 < column < 5 else "---" for column in range(len(titles)))
    yield from map(_row, rows)
    yield ""


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
