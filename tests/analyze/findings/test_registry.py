"""Which findings are told, in what order, and how the report says them."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

import memprof.analyze.findings as package
from memprof.analyze import Analysis, report_document
from memprof.analyze.findings import findings
from memprof.analyze.findings.registry import FINDERS
from memprof.cli.render.report import report_text
from tests.trace_builder import GIB, TraceBuilder

MIB = 1 << 20


def cards(*unused: int, weights: int = GIB) -> Analysis:
    """So many cards, each with weights and with bytes that its allocator keeps unused."""
    build = TraceBuilder()
    for number, nbytes in enumerate(unused):
        device = f"cuda:{number}"
        build.alloc(weights, device=device, label="parameter", name="weight")
        build.sample(f"{device}/allocated_bytes", weights)
        build.sample(f"{device}/reserved_bytes", weights + nbytes)
    return Analysis(build.trace())


def text(analysis: Analysis) -> str:
    console = Console(file=io.StringIO(), width=200)
    document = report_document(analysis)
    for device in document["devices"].values():
        device["peak"]["estimated"] = {}
    console.print(*report_text(document, quiet=True), sep="\n")
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_most_bytes_come_first_whatever_the_device() -> None:
    found = findings(cards(300 * MIB, 500 * MIB))

    assert [(each.device, each.bytes) for each in found] == [
        ("cuda:1", 500 * MIB),
        ("cuda:0", 300 * MIB),
    ]


@pytest.mark.parametrize(("leaked", "count"), [(101 * 5, 1), (99 * 5, 0)])
def test_below_one_percent_of_the_peak_nothing_is_told(leaked: int, count: int) -> None:
    """Six steps keep a tensor each; those of the first five are told."""
    each = leaked // 5
    build = TraceBuilder()
    build.alloc(5 * 10_000 - 6 * each, label="parameter", name="weight")
    for _ in range(6):
        build.step()
        build.alloc(each, op="aten::mm", module="head")

    assert len(findings(Analysis(build.trace()))) == count


def test_the_report_has_them_as_plain_data() -> None:
    document = json.loads(json.dumps(report_document(Analysis(cards(300 * MIB).trace))))

    (finding,) = document["findings"]
    keys = {"kind", "bytes", "device", "event", "text", "fix", "allocations"}
    assert set(finding) == keys
    assert (finding["kind"], finding["bytes"]) == ("reserved_unused", 300 * MIB)


def test_the_text_numbers_them_and_says_what_to_do() -> None:
    told = text(cards(300 * MIB, 500 * MIB)).partition("Findings\n")[2]

    lines = [line.strip() for line in told.splitlines() if line.strip()]
    assert lines[0].startswith("1. 500.00 MiB on cuda:1  PyTorch's allocator has reserved 1.49 GiB")
    assert lines[1].startswith("Set PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True")
    assert lines[2].startswith("2. 300.00 MiB on cuda:0")


def test_where_nothing_is_found_the_text_says_nothing() -> None:
    assert "Findings" not in text(cards(0))


def test_every_kind_has_its_row_in_the_documentation() -> None:
    sources = "".join(path.read_text() for path in Path(package.__file__).parent.glob("*.py"))
    page = Path(__file__).parents[3] / "docs" / "findings.md"

    kinds = set(re.findall(r'Finding\(\s+kind="(\w+)"', sources))
    assert set(re.findall(r"^\| `(\w+)` \|", page.read_text(), re.M)) == kinds
    assert len(kinds) == len(FINDERS)
