"""How quick the dashboard is, by size of the trace, in headless Chromium.

    python -m benchmarks.dashboard [--events 1000 1000000 5000000] [--repeat 7]

needs `torch-memprof[dashboard]`, playwright, and Chromium at /usr/bin/chromium. Every size is
served by a process of its own, whose memory is the highest that it ever held. The machine's load
moves all figures: hold columns of one run against each other, not runs.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page, sync_playwright
from playwright.sync_api import TimeoutError as NothingHappened
from waitress.server import create_server

from memprof.analyze import analyze
from memprof.trace import load
from memprof_dashboard import create_app
from memprof_dashboard.server import listen
from tests.dashboard.browser import CHROMIUM, FLAGS, count_requests, wait_until_drawn
from tests.synthetic import synthetic_training

_CHANGED = "([place, old]) => document.querySelector(place).innerText !== old"
_FRAMES = """duration => new Promise(done => {
  let frames = 0; const begun = performance.now();
  const tick = now => {
    frames += 1;
    now - begun < duration ? requestAnimationFrame(tick) : done(1000 * frames / (now - begun));
  };
  requestAnimationFrame(tick);
})"""
_UNITS = {"server's memory": "MB", "frames while panning": "/s"}


def main() -> None:
    """Makes the traces, opens them, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000, 1_000_000, 5_000_000])
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    columns = []
    with tempfile.TemporaryDirectory() as folder, _chromium() as browser:
        for events in options.events:
            path = Path(folder, f"{events}.json")
            path.write_bytes(synthetic_training(events))
            columns.append(measure(path, browser, options.repeat))
    print(f"median of {options.repeat}" + "".join(f"{e:>16,}" for e in options.events) + " events")
    for name in columns[0]:
        cells = [f"{_median(column[name]):13.0f} {_UNITS.get(name, 'ms'):2s}" for column in columns]
        print(f"  {name:32s}" + "".join(cells))


def serve(path: Path) -> None:
    """Serves a trace; for each line that comes in it tells its memory and its longest answer."""
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)

    begun = time.process_time(), time.perf_counter()
    app = create_app(analyze(load(path)))
    cost = [1_000 * (time.process_time() - begun[0]), 1_000 * (time.perf_counter() - begun[1])]
    spent: list[float] = []

    def timed(environ: Any, start: Any) -> Any:
        begun = time.perf_counter()
        answer = app.server(environ, start)
        spent.append(1_000 * (time.perf_counter() - begun))
        return answer

    server = create_server(timed, sockets=[listen("127.0.0.1", None)], threads=1)
    print(json.dumps([int(server.effective_port), *cost]), flush=True)
    threading.Thread(target=server.run, daemon=True).start()
    for line in sys.stdin:
        del line
        highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000
        print(json.dumps([highest, max(spent)]), flush=True)
        spent.clear()


@contextmanager
def _chromium() -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser.new_context(viewport={"width": 1280, "height": 900})
        browser.close()


def measure(path: Path, browser: BrowserContext, repeat: int) -> dict[str, list[float]]:
    """Times each thing that a person waits for, in milliseconds."""
    command = [sys.executable, "-m", "benchmarks.dashboard", "--serve", str(path)]
    environment = {**os.environ, "PYTHONPATH": ".:dashboard"}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None

        def ask() -> list[float]:
            print(file=server.stdin, flush=True)
            return list(map(float, json.loads(server.stdout.readline())))

        port, busy, waited = json.loads(server.stdout.readline())
        rows = {"read and make the page": [waited], "  of it the processor's": [busy]}
        page = browser.new_page()
        rows |= _in_browser(page, f"http://127.0.0.1:{port}/", repeat, ask)
        rows["server's memory"] = [ask()[0]]
        page.close()
        server.stdin.close()
        server.terminate()
    return rows


def _in_browser(
    page: Page, address: str, repeat: int, ask: Callable[[], list[float]]
) -> dict[str, list[float]]:
    rows: dict[str, list[float]] = {}
    count_requests(page)
    for name in ("first paint", "reload"):
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
    rows["zoom to new detail"], rows["  of it the server's"] = [], []
    ask()
    for x in at:
        rows["zoom to new detail"].append(_zoom(page, x, middle))
        rows["  of it the server's"].append(ask()[1])
        if page.is_enabled("#whole"):
            _timed(page, "#events", lambda: page.click("#whole"))
        ask()
    rows["filter"] = [
        _timed(page, "#count", lambda word=word: page.fill("#filter", word))
        for word in ("mlp", "weight", "h.3", "exp_avg")
    ]
    rows["frames while panning"] = [_pan(page, area["x"] + 200, middle)]
    return rows


def _zoom(page: Page, x: float, y: float) -> float:
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y, steps=3)
    return _timed(page, "#events", page.mouse.up)


def _pan(page: Page, x: float, y: float) -> float:
    """Frames a second while the zoomed timeline is dragged."""
    _zoom(page, x, y)
    page.keyboard.down("Shift")
    page.mouse.move(x + 300, y)
    page.mouse.down()
    page.evaluate(f"window.counted = ({_FRAMES})(1500)")
    for number in range(60):
        page.mouse.move(x + 300 - 3 * number, y)
    found = float(page.evaluate("window.counted"))
    page.mouse.up()
    page.keyboard.up("Shift")
    return found


def _timed(page: Page, place: str, act: Callable[[], object]) -> float:
    """Milliseconds from an act to the text that it changes."""
    page.wait_for_timeout(400)
    before, started = page.inner_text(place), time.perf_counter()
    act()
    try:
        page.wait_for_function(_CHANGED, arg=[place, before], polling="raf", timeout=5_000)
    except NothingHappened:
        return math.nan  # where a short trace has nothing else to show
    return _since(started)


def _median(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return statistics.median(known) if known else math.nan


def _since(started: float) -> float:
    return 1_000 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
