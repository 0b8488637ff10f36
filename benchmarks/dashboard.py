"""How quick the dashboard is: reading, first paint, zoom and click, in headless Chromium.

    python -m benchmarks.dashboard [--events 200000] [--repeat 7]

needs `torch-memprof[dashboard]`, playwright, and Chromium at /usr/bin/chromium.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from waitress.server import create_server

from memprof.analyze import analyze
from memprof.trace import load
from memprof_dashboard import create_app
from memprof_dashboard.server import listen
from tests.dashboard.browser import CHROMIUM, FLAGS, count_requests, wait_until_drawn
from tests.synthetic import synthetic_training

_CHANGED = "([place, old]) => document.querySelector(place).innerText !== old"


def main() -> None:
    """Makes a trace, opens it, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        path.write_bytes(synthetic_training(options.events))
        rows = measure(path, options.repeat)
    print(f"{options.events:,} events, median (worst) of {options.repeat}")
    for name, times in rows.items():
        print(f"  {name:34s} {statistics.median(times):7.0f} ms ({max(times):.0f})")


def measure(path: Path, repeat: int) -> dict[str, list[float]]:
    """Times each thing that a person waits for, in milliseconds."""
    started = time.perf_counter()
    analysis = analyze(load(path))
    for name in analysis.devices:
        analysis.device(name).peak.live()
    read = _since(started)
    started = time.perf_counter()
    app = create_app(analysis)
    rows = {"read and analyse": [read], "make the page": [_since(started)]}
    server = create_server(app.server, sockets=[listen("127.0.0.1", None)], threads=4)
    threading.Thread(target=server.run, daemon=True).start()
    address = f"http://127.0.0.1:{server.effective_port}/"
    return rows | _in_browser(address, repeat)


def _in_browser(address: str, repeat: int) -> dict[str, list[float]]:
    rows: dict[str, list[float]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        count_requests(page)
        for name in ("first paint, nothing cached", "reload"):
            started = time.perf_counter()
            page.goto(address)
            wait_until_drawn(page)
            rows[name] = [_since(started)]
        page.wait_for_timeout(1_000)
        area = page.locator("#timeline .nsewdrag").first.bounding_box()
        assert area is not None
        at = [area["x"] + area["width"] * (0.15 + 0.1 * n) for n in range(repeat)]
        middle = area["y"] + area["height"] / 2
        rows["click to the moment's tensors"] = [
            _timed(page, "#headline", lambda x=x: page.mouse.click(x, middle)) for x in at
        ]
        rows["zoom to new detail"] = [_zoom(page, x, middle) for x in at]
        rows["filter"] = [
            _timed(page, "#count", lambda word=word: page.fill("#filter", word))
            for word in ("mlp", "weight", "h.3", "exp_avg")
        ]
        browser.close()
    return rows


def _zoom(page: Page, x: float, y: float) -> float:
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y, steps=3)
    taken = _timed(page, "#events", page.mouse.up)
    _timed(page, "#events", lambda: page.click("#whole"))
    return taken


def _timed(page: Page, place: str, act: Callable[[], object]) -> float:
    """Milliseconds from an act to the text that it changes."""
    page.wait_for_timeout(400)
    before, started = page.inner_text(place), time.perf_counter()
    act()
    page.wait_for_function(_CHANGED, arg=[place, before], polling="raf")
    return _since(started)


def _since(started: float) -> float:
    return 1_000 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
