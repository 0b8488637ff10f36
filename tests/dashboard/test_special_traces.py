"""Traces that are empty, cut short, tiny, hostile, or of several devices, in a real browser."""

from __future__ import annotations

import html
from pathlib import Path

from memprof.trace import load
from memprof.units import format_bytes
from tests.dashboard import oracle
from tests.dashboard.acts import hovered, listed, middle, open_view, tile
from tests.dashboard.browser import settle
from tests.dashboard.conftest import Open
from tests.synthetic import synthetic_training
from tests.trace_builder import TraceBuilder

HOSTILE = (
    "<img src=x onerror=window.harmed=1>",
    "<script>window.harmed=1</script>",
    "<a href='https://evil.example'>free memory</a>",
)
_LINKS = """() => [...document.querySelectorAll('a')].map(
  link => (link.getAttribute('href') || '') + (link.getAttribute('xlink:href') || '')
).filter(target => target.includes('evil'))"""


def test_an_empty_trace_says_so(open_page: Open, tmp_path: Path) -> None:
    page = open_page(TraceBuilder().write(tmp_path / "t.json"), drawn=False)
    page.wait_for_selector("text=Nothing was allocated")
    assert "ends early" not in page.inner_text("body")


def test_a_trace_cut_short_says_so(open_page: Open, tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(synthetic_training(3_000, complete=False))
    page = open_page(path)
    assert "This trace ends early" in page.inner_text(".notices")
    trace = load(path)
    peak = sum(oracle.alive_after(trace, oracle.peak_event(trace)).values())
    assert page.inner_text("#moment-bytes") == format_bytes(peak)


def test_one_event_is_enough(open_page: Open, tmp_path: Path) -> None:
    build = TraceBuilder()
    build.alloc(1_000, op="aten::ones")
    page = open_page(build.write(tmp_path / "t.json"))
    assert page.inner_text("#moment-bytes") == "1000 B"
    assert page.inner_text("#events") == "1 event"
    assert page.inner_text("#count") == "1 tensor, 1000 B"


def test_inference_alone(open_page: Open, tmp_path: Path) -> None:
    build = TraceBuilder()
    build.alloc(4_000, label="parameter", name="w")
    for token in range(5):
        build.step()
        with build.phase("prefill" if token == 0 else "decode", batch=1, tokens=1, context=token):
            build.alloc(500, label="kv_cache", name=f"layers.{token}.keys")
            build.free(build.alloc(100, op="aten::mm"))
    page = open_page(build.write(tmp_path / "t.json"))
    assert page.inner_text("#legend").split("\n") == ["temporary", "KV cache", "weights"]
    assert "decode" in page.inner_text("#headline")
    open_view(page, "analysis")
    assert "gradients" in page.inner_text("#comparison .note")


def test_names_are_text_and_nothing_else(open_page: Open, tmp_path: Path) -> None:
    build = TraceBuilder(program=list(HOSTILE))
    with build.phase(HOSTILE[0]):
        for name in HOSTILE:
            build.alloc(1_000, op=name, module=name, tensor=name, stack=name)
            build.alloc(1_000, label="parameter", name=name, module=f"{name}.b")
    build.warning(HOSTILE[0], HOSTILE[1])
    page = open_page(build.write(tmp_path / "t.json"))
    page.mouse.move(*tile(page, html.escape(HOSTILE[0])))
    page.wait_for_timeout(300)
    assert "window.harmed" in hovered(page, "#modules")
    page.locator("#timeline").scroll_into_view_if_needed()
    page.mouse.move(*middle(page, "#timeline .barlayer path"))
    page.wait_for_timeout(300)
    assert "window.harmed" in hovered(page, "#timeline")
    assert page.evaluate("window.harmed") is None
    assert page.query_selector("[href*=evil]") is None
    assert page.query_selector("img[src=x]") is None
    assert page.evaluate(_LINKS) == []
    assert {row["what"] for row in listed(page)} == set(HOSTILE)


def test_each_device_has_a_tab(open_page: Open, tmp_path: Path) -> None:
    build = TraceBuilder()
    build.alloc(3_000, device="cuda:0", label="parameter", name="w")
    build.sample("cuda:0/reserved_bytes", 4_000)
    small = build.alloc(200, device="cpu", label="input", name="x")
    build.alloc(10, device="cpu", label="input", name="y")
    build.free(small)
    path = build.write(tmp_path / "t.json")
    page = open_page(path)
    assert page.inner_text("#moment-bytes") == "2.93 KiB"
    assert "reserved" in page.inner_text("#legend")
    page.click(".tab >> text=cpu")
    settle(page)
    assert page.inner_text("#moment-bytes") == "210 B"
    assert {row["what"] for row in listed(page)} == {"x", "y"}
    assert page.inner_text("#legend").split("\n") == ["inputs"]
    linked = open_page(path, query="?tab=1&event=3")
    settle(linked)
    assert linked.inner_text("#moment-bytes") == "10 B"
    assert linked.inner_text(".tab.selected") == "cpu"


def test_two_traces_stand_side_by_side(open_page: Open, tmp_path: Path) -> None:
    paths = []
    for rank in (0, 1):
        build = TraceBuilder(rank=rank)
        build.alloc(1_000 + rank, op="aten::ones")
        paths.append(build.write(tmp_path / f"{rank}.json"))
    page = open_page(*paths)
    page.click("text=rank 1 · cpu")
    settle(page)
    assert page.inner_text("#moment-bytes") == "1001 B"


def test_no_button_sends_data_away(open_page: Open, tmp_path: Path) -> None:
    build = TraceBuilder()
    build.alloc(1_000, op="aten::ones")
    page = open_page(build.write(tmp_path / "t.json"))
    buttons = page.eval_on_selector_all(
        ".modebar-btn", "all => all.map(one => one.dataset.title || '')"
    )
    assert len(buttons) >= 4
    assert not [
        title for title in buttons if "hare" in title or "loud" in title or "plotly" in title
    ]
