"""Every view of traces that are hostile, empty of what it shows, or cut short; and every number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from memprof.analyze import analyze, report_document
from memprof.analyze.compare import compare_document
from memprof.trace import load
from memprof.units import format_bytes
from memprof_dashboard.views.registry import VIEWS
from tests.dashboard.acts import open_view
from tests.dashboard.browser import settle
from tests.dashboard.conftest import Open
from tests.synthetic import synthetic_training
from tests.trace_builder import TraceBuilder

HOSTILE = "</script><img src=x onerror=window.harmed=1><a href='https://evil.example'>free</a>"
_KEYS = [view.key for view in VIEWS if view.key != "difference"]


def hostile(rank: int | None = None) -> TraceBuilder:
    build = TraceBuilder(program=[HOSTILE], rank=rank)
    build.alloc(1 << 45, op=HOSTILE, module=f"{HOSTILE}.0.x", label="parameter", name=HOSTILE)
    for turn in range(5):
        build.step()
        with build.phase(HOSTILE, batch=1 << 40, tokens=1 << 40, context=0):
            build.free(build.alloc(9_000 * (1 + turn), op=HOSTILE, module=HOSTILE))
            build.alloc(500 + turn, stack=HOSTILE, op=HOSTILE, label="kv_cache", name=HOSTILE)
            build.alloc(500 + turn, stack=HOSTILE, op=HOSTILE, tensor=HOSTILE)
    return build


def test_names_and_absurd_sizes_harm_no_view(open_page: Open, tmp_path: Path) -> None:
    before, after = hostile().write(tmp_path / "a.json"), hostile().write(tmp_path / "b.json")
    page = open_page(before, after, query="?tensor=2&mode=changing")
    for key in [*_KEYS, "difference"]:
        open_view(page, key)
        assert page.inner_text("#panel").strip(), key
        page.mouse.move(640, 700)
    assert page.evaluate("() => window.harmed") is None
    assert page.query_selector("img[src=x]") is None
    assert page.query_selector("[href*=evil]") is None
    assert "evil.example" in page.inner_text("#tensor-card")


@pytest.mark.parametrize("kind", ["one event", "cut short"])
def test_every_view_has_something_to_say(open_page: Open, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "t.json"
    if kind == "one event":
        build = TraceBuilder()
        build.alloc(1_000)
        build.write(path)
    else:
        path.write_bytes(synthetic_training(2_000, complete=False))
    page = open_page(path)
    for key in _KEYS:
        open_view(page, key)
        words = page.inner_text("#panel")
        assert len(words) > 40, key
        assert "None" not in words
        assert "nan" not in words


def test_every_number_is_the_reports(open_page: Open, tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(synthetic_training(6_000))
    analysis = analyze(load(path))
    report: dict[str, Any] = report_document(analysis)
    device = report["devices"]["cpu"]
    page = open_page(path)
    words = page.inner_text("#moment-view")
    for nbytes in filter(None, device["peak"]["by_category"].values()):
        assert format_bytes(nbytes) in words
    for gap in device["waterfall"]["gaps"]:
        assert format_bytes(gap["bytes"], sign=True) in words
    open_view(page, "findings")
    words = page.inner_text("#panel")
    assert report["findings"]
    for finding in report["findings"]:
        assert format_bytes(finding["bytes"]) in words
        assert finding["text"] in words
    open_view(page, "analysis")
    words = page.inner_text("#comparison")
    for row in compare_document(analysis)["devices"]["cpu"]["categories"].values():
        if row["measured_bytes"]:
            assert format_bytes(row["measured_bytes"]) in words
    open_view(page, "allocator")
    reserved = page.inner_text("#panel .quiet")
    page.keyboard.press("[")
    settle(page)
    assert page.inner_text("#panel .quiet") != reserved
    open_view(page, "steps")
    settle(page)
    shown = page.evaluate(
        """() => { const rows = [];
        dash_ag_grid.getApi('steps').forEachNode(node => rows.push(node.data)); return rows; }"""
    )
    assert [(row["peak"], row["end"], row["event"]) for row in shown] == [
        (step["peak_bytes"], step["end_bytes"], step["peak_event"]) for step in device["steps"]
    ]
