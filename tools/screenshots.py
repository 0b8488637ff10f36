"""Makes the pictures of docs/images from the traces of the samples, so that none is taken by hand.

make screenshots
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from waitress.server import create_server

from memprof.analyze import analyze
from memprof.trace import load
from memprof_dashboard import create_app
from memprof_dashboard.server import listen

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
CHROMIUM = "/usr/bin/chromium"
#: Name of the picture, the sample whose trace it shows, the view's address, whether it is dark.
PICTURES = (
    ("timeline", "train", "", False),
    ("timeline-dark", "train", "", True),
    ("blocks", "train", "?mode=changing", False),
    ("findings", "train", "?view=findings", False),
    ("steps", "train", "?view=steps", False),
    ("analysis", "train", "?view=analysis", False),
    ("generation", "generate", "?view=analysis", False),
    ("allocator", "train", "?view=allocator", False),
    ("what-if", "train", "?view=what-if", True),
)
_READY = ".dash-graph .main-svg"


def main() -> int:
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    IMAGES.mkdir(parents=True, exist_ok=True)
    traces = {name: recorded(name) for name in {sample for _, sample, _, _ in PICTURES}}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name, sample, query, dark in PICTURES:
            page = browser.new_page(
                viewport={"width": 1440, "height": 900}, color_scheme="dark" if dark else "light"
            )
            with served(traces[sample]) as address:
                picture(page, f"{address}{query}", IMAGES / f"{name}.png")
            page.close()
        browser.close()
    return 0


def recorded(sample: str) -> Path:
    """The trace of a sample; it is run where there is none yet, by names within the project."""
    trace = Path("demo", f"{sample}.json")
    if not (ROOT / trace).exists():
        (ROOT / trace).parent.mkdir(exist_ok=True)
        program = f"samples/{sample}_llama.py"
        command = [sys.executable, program, "--output", str(trace), "--force"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return ROOT / trace


@contextmanager
def served(trace: Path) -> Iterator[str]:
    """The address of a dashboard for this machine alone, as long as it is needed."""
    app = create_app(analyze(load(trace)))
    server = create_server(app.server, sockets=[listen("127.0.0.1", None)], threads=4)
    threading.Thread(target=server.run, daemon=True).start()
    yield f"http://127.0.0.1:{server.effective_port}/"
    server.close()


def picture(page: Page, address: str, path: Path) -> None:
    """Takes the whole page once nothing moves on it any more."""
    page.goto(address, wait_until="networkidle")
    page.wait_for_selector(_READY, state="attached")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(700)
    page.screenshot(path=path, full_page=True)
    print(path.relative_to(ROOT), flush=True)


if __name__ == "__main__":
    sys.exit(main())
