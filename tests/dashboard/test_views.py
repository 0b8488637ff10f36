"""A walk through the views under the timeline: what each says, and where its buttons lead."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from memprof.analyze import analyze, report_document
from memprof.analyze.diff import diff_document
from memprof.trace import load
from memprof.units import format_bytes
from tests.dashboard.acts import choose, listed, open_view
from tests.dashboard.browser import settle, wait_until_drawn
from tests.dashboard.conftest import Open
from tests.trace_builder import TraceBuilder

_STEPS = """() => {
  const rows = [];
  dash_ag_grid.getApi('steps').forEachNodeAfterFilterAndSort(node => rows.push(node.data));
  return rows;
}"""


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    """Five steps, each of which keeps a tensor; the fourth needs more than the others."""
    build = TraceBuilder()
    build.alloc(4_000, label="parameter", name="w")
    for step in range(5):
        build.step()
        with build.phase("forward"):
            wide = build.alloc(9_000 if step == 3 else 3_000, stack="train.py:3 step")
            build.alloc(500, stack="train.py:9 log")
        build.free(wide)
    return build.write(tmp_path / "leaking.json")


def test_steps_and_findings_lead_to_their_tensors(open_page: Open, leaking: Path) -> None:
    report = report_document(analyze(load(leaking)))
    steps, (finding,) = report["devices"]["cpu"]["steps"], report["findings"]
    page = open_page(leaking, query="?view=steps")
    shown = page.evaluate(_STEPS)
    assert [row["peak"] for row in shown] == [step["peak_bytes"] for step in steps]
    assert [row["end"] for row in shown] == [step["end_bytes"] for step in steps]
    assert [row["step"] for row in shown if row["odd"]] == [3]
    assert "unlike the others: 3" in page.inner_text("#panel")
    page.click("#steps .ag-row[row-index='2'] .ag-cell")
    settle(page)
    assert f"event={steps[2]['peak_event']}" in page.url
    choose(page, "Show its tensors")
    assert {row["what"] for row in listed(page)} == {"aten::empty"}
    assert [row["bytes"] for row in listed(page)] == [500] * 4
    open_view(page, "findings")
    assert finding["text"] in page.inner_text("#panel")
    assert page.inner_text("#panel .amount") == format_bytes(finding["bytes"])
    choose(page, "Show its")
    assert {int(row["allocation"]) for row in listed(page)} == set(finding["allocations"])
    assert page.input_value("#filter") == "finding:1"
    again = open_page(leaking, query=page.url.partition("/?")[2].join(["?", ""]))
    settle(again)
    assert {int(row["allocation"]) for row in listed(again)} == set(finding["allocations"])


def test_blocks_open_a_tensor_and_hide_what_stays(open_page: Open, leaking: Path) -> None:
    trace = load(leaking)
    page = open_page(leaking, query="?tensor=1")
    settle(page)
    assert "train.py:3 step" in page.inner_text("#tensor-card")
    assert "3,000 B" in page.inner_text("#tensor-card")
    page.click("#close-tensor")
    settle(page)
    assert not page.is_visible("#tensor-card")
    choose(page, "Blocks that change")
    page.wait_for_selector("#blocks .barlayer path")
    assert "without 1 that span the window" in page.inner_text("#blocks-told")
    choose(page, "Blocks")
    settle(page)
    assert page.inner_text("#blocks-told") == f"{len(trace.allocations)} blocks"
    rectangles = page.locator("#blocks .barlayer .trace").first.locator("path")
    assert rectangles.count() == len(trace.allocations)
    widest = trace.allocations.nbytes.tolist().index(9_000)
    box = rectangles.nth(widest).bounding_box()
    assert box is not None
    at = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*at)
    page.wait_for_selector("#blocks .hoverlayer text")
    page.mouse.click(*at)
    settle(page)
    assert "9,000 B" in page.inner_text("#tensor-card")
    assert f"tensor={widest}" in page.url
    assert "mode=blocks" in page.url
    choose(page, "Categories")
    page.click("#tensors .ag-row[row-index='1'] .ag-cell")
    settle(page)
    assert "4,000 B" in page.inner_text("#tensor-card")


def test_the_keyboard_does_what_buttons_do(open_page: Open, leaking: Path) -> None:
    steps = report_document(analyze(load(leaking)))["devices"]["cpu"]["steps"]
    page = open_page(leaking)
    peak = page.url

    def pressed(key: str) -> None:
        page.keyboard.press(key)
        settle(page)

    for key, step in (("[", 2), ("[", 1), ("]", 2)):
        pressed(key)
        assert f"event={steps[step]['peak_event']}" in page.url
    pressed("ArrowRight")
    assert f"event={steps[2]['peak_event'] + 1}" in page.url
    pressed("p")
    assert f"event={steps[3]['peak_event']}" in page.url or page.url == peak
    pressed("b")
    assert "mode=blocks" in page.url
    pressed("?")
    assert page.is_visible("#help")
    page.keyboard.press("Escape")
    assert not page.is_visible("#help")
    pressed("/")
    page.keyboard.type("b3[")
    page.wait_for_url(re.compile("filter=b3"))
    assert "view=" not in page.url
    page.keyboard.press("Escape")
    pressed("3")
    assert "view=steps" in page.url
    page.locator("#legend .chip", has_text="weights").first.dblclick()
    settle(page)
    assert page.locator("#legend .chip.off").count() == page.locator("#legend .chip").count() - 1


def test_amounts_are_read_in_gib_or_gb(open_page: Open, leaking: Path) -> None:
    peak = report_document(analyze(load(leaking)))["devices"]["cpu"]["peak"]["requested_bytes"]
    page = open_page(leaking)
    assert page.inner_text("#moment-bytes") == f"{peak / 1024:.2f} KiB"
    try:
        for shown in (f"{peak / 1000:.2f} kB", f"{peak / 1024:.2f} KiB"):
            page.click("#units")
            page.wait_for_function(
                "told => document.querySelector('#moment-bytes')?.innerText === told", arg=shown
            )
            wait_until_drawn(page)
    finally:
        page.context.clear_cookies()


def test_tables_are_saved_as_csv(open_page: Open, leaking: Path, tmp_path: Path) -> None:
    steps = report_document(analyze(load(leaking)))["devices"]["cpu"]["steps"]
    page = open_page(leaking, query="?view=steps")
    with page.expect_download() as download:
        page.click("[data-csv=steps]")
    download.value.save_as(tmp_path / "steps.csv")
    with (tmp_path / "steps.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["Step"] for row in rows] == [str(step["step"]) for step in steps]
    assert [row["Peak"] for row in rows] == [str(step["peak_bytes"]) for step in steps]


def test_two_runs_are_held_against_each_other(
    open_page: Open, leaking: Path, tmp_path: Path
) -> None:
    build = TraceBuilder()
    build.alloc(4_000, label="parameter", name="w")
    build.step()
    build.alloc(700, label="input", name="x")
    before = build.write(tmp_path / "before.json")
    expected = diff_document(analyze(load(before)), analyze(load(leaking)))["devices"]["cpu"]
    page = open_page(before, leaking, query="?view=difference")
    words = page.inner_text("#panel .difference")
    for change in (expected["peak"], expected["categories"]["inputs"]["highest"]):
        numbers = [change["before_bytes"], change["after_bytes"]]
        told = [*map(format_bytes, numbers), format_bytes(change["growth_bytes"], sign=True)]
        assert re.search(r"\s+".join(map(re.escape, told)), words)
    rows = page.evaluate(_STEPS.replace("steps", "changes"))
    assert [(row["growth"], row["before"], row["after"]) for row in rows] == [
        (row["growth_bytes"], row["before_bytes"], row["after_bytes"])
        for row in expected["tensors"]
    ]
    assert {row["what"]: row["kind"] for row in rows} == {"aten::empty": "new", "x": "gone"}
    page.click("text=leaking.json · cpu")
    settle(page)
    assert page.inner_text("#panel .difference") == words
