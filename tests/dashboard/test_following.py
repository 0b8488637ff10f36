"""A page that grows with its trace."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import BrowserContext

from memprof.trace import load
from memprof.units import format_bytes
from memprof_dashboard.following import Following
from tests.dashboard import oracle
from tests.dashboard.browser import Stage, Watch
from tests.trace_builder import TraceBuilder

_TOLD = "([place, text]) => document.querySelector(place)?.innerText.includes(text)"


def peak_of(path: Path) -> str:
    trace = load(path)
    return format_bytes(sum(oracle.alive_after(trace, oracle.peak_event(trace)).values()))


def test_the_page_grows_with_the_file(
    browser: BrowserContext, stage: Stage, tmp_path: Path
) -> None:
    build, path = TraceBuilder(), tmp_path / "growing.json"

    def written(*, complete: bool = False) -> None:
        path.write_bytes(build.to_bytes(complete=complete))
        assert following.read()

    path.write_bytes(build.to_bytes(complete=False))
    following = Following([path])
    stage.serve(following.shown)
    page = browser.new_page()
    watch = Watch(page)
    page.goto(stage.address)
    page.wait_for_selector("text=Waiting")
    build.alloc(2_000, label="input", name="x")
    written()
    page.wait_for_selector("#moment-bytes", timeout=15_000)
    page.wait_for_selector("#timeline .scatterlayer path", state="attached")
    assert "Still running" in page.inner_text("#notices")
    build.step()
    build.alloc(5_000, label="kv_cache", name="keys")
    written()
    page.wait_for_function(_TOLD, arg=["#moment-bytes", peak_of(path)], timeout=15_000)
    page.wait_for_function(_TOLD, arg=["#legend", "KV cache"])
    page.click("#previous")
    page.wait_for_function(_TOLD, arg=["#moment-bytes", "1.95 KiB"])
    build.alloc(100, op="aten::mm")
    written(complete=True)
    page.wait_for_function(_TOLD, arg=["#events", "3 events"], timeout=15_000)
    assert page.inner_text("#moment-bytes") == "1.95 KiB"
    assert page.inner_text("#notices") == ""
    page.reload()
    page.wait_for_function(_TOLD, arg=["#events", "3 events"])
    assert watch.faults == []
    assert not Following([path]).shown.followed
    page.close()
