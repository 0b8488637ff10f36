"""Chromium for the tests, and what they wait for."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from playwright.sync_api import Page
from werkzeug.serving import WSGIRequestHandler, make_server

from memprof.analyze import analyze
from memprof.trace import load
from memprof_dashboard import create_app
from memprof_dashboard.guard import Guard
from memprof_dashboard.state import Shown

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_DRAWN = """() => {
  const chart = document.querySelector('#timeline .js-plotly-plot');
  return chart && chart.querySelector('.scatterlayer path') &&
    document.querySelector('#tensors .ag-row') &&
    document.querySelector('#modules .treemaplayer path');
}"""
_COUNTING = """
  const fetched = window.fetch;
  window.pending = 0;
  window.quietSince = performance.now();
  const disturbed = () => { window.quietSince = performance.now(); };
  const count = by => { window.pending += by; disturbed(); };
  window.fetch = (...words) => {
    count(+1);
    return fetched(...words).finally(() => setTimeout(() => count(-1), 0));
  };
  new MutationObserver(disturbed).observe(
    document, {subtree: true, childList: true, characterData: true});
"""
_CALLING = """
  const stages = ["requested", "prioritized", "blocked", "executing", "watched", "executed"];
  const calls = window.store ? window.store.getState().callbacks : {};
  const calling = stages.some(stage => (calls[stage] || []).length > 0);
"""
_QUIET = f"""() => {{
  {_CALLING}
  return !calling && window.pending === 0 && performance.now() - window.quietSince > 120;
}}"""


def wait_until_drawn(page: Page) -> None:
    """Waits for chart, treemap and table."""
    page.wait_for_function(_DRAWN, timeout=60_000)
    settle(page)


def count_requests(page: Page) -> None:
    """Lets `settle` know of the page's requests; to be called before it is opened."""
    page.add_init_script(_COUNTING)


def settle(page: Page) -> None:
    """Waits until everything that was asked for is drawn."""
    page.wait_for_timeout(60)
    page.wait_for_function(_QUIET, polling=20, timeout=30_000)


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        pass


class Stage:
    """One address for whatever trace a test shows, so that Chromium keeps its scripts."""

    def __init__(self) -> None:
        self._shown: WSGIApplication | None = None
        self._server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_port}/"

    def show(self, *paths: Path) -> None:
        """Serves traces behind the guard, but without a token."""
        self.serve(Shown([analyze(load(path)) for path in paths]))

    def serve(self, shown: Shown) -> None:
        """Serves what is shown, which may change."""
        app = create_app(shown)
        self._shown = Guard(app.server, token=None, script_hashes=app.csp_hashes())

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        assert self._shown is not None
        return self._shown(environ, start)


class Watch:
    """Collects what a page must not do: complain, fail, or ask another machine."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("request", self._request)
        page.on("response", self._response)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"console {message.type}: {message.text}")

    def _request(self, request: Any) -> None:
        if request.url.startswith(("data:", "blob:")):
            return
        if urlsplit(request.url).hostname != "127.0.0.1":
            self.faults.append(f"foreign request: {request.url}")

    def _response(self, response: Any) -> None:
        if response.status >= 400:
            self.faults.append(f"{response.status}: {response.url}")
