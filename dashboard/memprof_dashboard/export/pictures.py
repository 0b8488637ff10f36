"""Charts as PNG files, drawn by a Chromium that is found on this machine."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dash import dcc, html
from plotly.offline import get_plotlyjs

from memprof.analyze import Analysis
from memprof.errors import MemprofError
from memprof_dashboard.blocks import CHANGING, blocks_figure, window_blocks
from memprof_dashboard.export.static import StaticPage
from memprof_dashboard.modules import module_map
from memprof_dashboard.state import Shown
from memprof_dashboard.views.overlay import overlay_figure

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_WIDTH, _HEIGHT = 1600, 720
_SECONDS = 60


def write_pictures(analyses: Sequence[Analysis], folder: Path) -> list[Path]:
    """Writes timeline, blocks, modules and steps of each device as PNG files.

    Returns:
        The files.

    Raises:
        MemprofError: if there is no Chromium or Chrome, or it does not draw.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise MemprofError(
            "pictures are drawn by Chromium or Chrome, and neither is on this machine: "
            "install one, or write --html and open it elsewhere"
        )
    shown = Shown(analyses)
    folder.mkdir(parents=True, exist_ok=True)
    return [_draw(browser, figure, folder / f"{name}.png") for name, figure in _figures(shown)]


def _figures(shown: Shown) -> Iterator[tuple[str, Any]]:
    for subject in shown.subjects:
        number, peak = subject.number, subject.peak
        chart, rows = shown.timeline(number), subject.steps
        suffix = f"-{number}" if len(shown.subjects) > 1 else ""
        hidden = chart.hidden_at_first
        drawn = chart.sample(*subject.window_ns, hidden)
        yield f"timeline{suffix}", chart.figure(drawn, peak, hidden)
        blocks = window_blocks(chart, None, hidden, CHANGING)
        yield f"blocks{suffix}", blocks_figure(chart, blocks, None, hidden, peak)
        yield f"modules{suffix}", module_map(subject.device, peak)
        if rows:
            yield f"steps{suffix}", overlay_figure(subject, rows)


def _draw(browser: str, figure: Any, path: Path) -> Path:
    size = {"width": _WIDTH, "height": _HEIGHT}
    figure = {**figure, "layout": {**figure["layout"], **size}}
    page = StaticPage()
    body = page.render(html.Div(dcc.Graph(figure=figure)))
    style = "body{margin:0;background:#fff}.modebar{display:none}"
    text = f"<style>{style}</style><script>{get_plotlyjs()}</script>{body}"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "chart.html")
        source.write_text(f"<!doctype html>{text}<script>{page.script()}</script>", "utf-8")
        command = [browser, "--headless", "--disable-gpu", "--no-sandbox", "--hide-scrollbars"]
        command += [f"--user-data-dir={folder}/profile", f"--window-size={_WIDTH},{_HEIGHT}"]
        command += ["--virtual-time-budget=5000", f"--screenshot={path.resolve()}"]
        try:
            subprocess.run([*command, source.as_uri()], capture_output=True, timeout=_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MemprofError(f"{path}: not drawn: {browser}: {error}") from None
    if not path.exists():
        raise MemprofError(f"{path}: not drawn: {browser} wrote no picture")
    return path
