"""A trace as one file: opened without a network, and held against the report."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext

from memprof.analyze import analyze, report_document
from memprof.trace import load
from memprof.units import format_bytes
from memprof_dashboard.export.page import static_page
from tests.dashboard.browser import Watch
from tests.trace_builder import TraceBuilder

HOSTILE = "</script><script>window.harmed=1</script><img src=x onerror=window.harmed=1>"


def export(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "memprof", "export", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}
    )


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    build = TraceBuilder(program=[HOSTILE])
    for _ in range(4):
        build.step()
        with build.phase(HOSTILE):
            build.free(build.alloc(9_000, op=HOSTILE, module=HOSTILE, tensor=HOSTILE))
            build.alloc(500, stack=f"=cmd {HOSTILE}", op="=1+1")
    build.warning("code", HOSTILE)
    return build.write(tmp_path / "trace.json")


def test_one_file_opens_without_a_network(
    browser: BrowserContext, hostile: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.html"
    done = export(hostile, "--html", out)
    assert (done.returncode, done.stdout) == (0, "")
    peak = report_document(analyze(load(hostile)))["devices"]["cpu"]["peak"]
    page = browser.new_page()
    watch, asked = Watch(page), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(out.as_uri())
    page.wait_for_selector(".timeline .scatterlayer path")
    page.wait_for_selector(".modules .treemaplayer path")
    page.wait_for_selector(".overlay .scatterlayer path", state="attached")
    words = page.inner_text("body")
    assert format_bytes(peak["requested_bytes"]) in words
    assert "=cmd" in words
    assert HOSTILE in words
    assert page.evaluate("() => window.harmed") is None
    assert page.query_selector("img[src=x]") is None
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert [fault for fault in watch.faults if "file:" not in fault] == []
    buttons = page.eval_on_selector_all(".modebar-btn", "all => all.map(b => b.dataset.title)")
    assert not [title for title in buttons if "hare" in title or "loud" in title]
    page.close()


def test_tables_hold_what_the_report_says(hostile: Path, tmp_path: Path) -> None:
    folder = tmp_path / "csv"
    assert export(hostile, "--csv", folder).returncode == 0
    report: dict[str, Any] = report_document(analyze(load(hostile)))

    def rows(name: str) -> list[dict[str, str]]:
        with (folder / f"{name}.csv").open(newline="") as stream:
            return list(csv.DictReader(stream))

    peak = report["devices"]["cpu"]["peak"]["requested_bytes"]
    assert max(int(row["total"]) for row in rows("timeline")) == peak
    assert sum(int(row["bytes"]) for row in rows("tensors")) == peak
    steps = report["devices"]["cpu"]["steps"]
    assert [int(row["peak_bytes"]) for row in rows("steps")] == [s["peak_bytes"] for s in steps]
    assert [row["text"] for row in rows("findings")] == [f["text"] for f in report["findings"]]
    cells = [cell for row in rows("tensors") for cell in row.values()]
    assert "'=1+1" in cells
    assert not [cell for cell in cells if cell.startswith("=")]


def test_pictures_need_a_browser_and_say_so(hostile: Path, tmp_path: Path) -> None:
    done = export(hostile, "--png", tmp_path / "png", PATH="")
    assert done.returncode == 1
    assert "Chromium" in done.stderr
    assert done.stderr.count("\n") == 1
    nothing = export(hostile)
    assert (nothing.returncode, nothing.stderr.count("\n")) == (2, 1)
    (tmp_path / "out.html").write_text("mine")
    assert export(hostile, "--html", tmp_path / "out.html").returncode == 1
    assert (tmp_path / "out.html").read_text() == "mine"


def test_pictures_are_drawn(browser: BrowserContext, hostile: Path, tmp_path: Path) -> None:
    del browser
    done = export(hostile, "--png", tmp_path / "png")
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (tmp_path / "png").iterdir())
    assert names == ["blocks.png", "modules.png", "steps.png", "timeline.png"]
    for name in names:
        assert (tmp_path / "png" / name).read_bytes().startswith(b"\x89PNG")


def test_an_empty_trace_makes_a_page_too() -> None:
    assert "Nothing was allocated" in static_page([analyze(TraceBuilder().trace())])
