"""A browser, traces to look at, and pages that show them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright

from tests.dashboard.browser import (
    CHROMIUM,
    FLAGS,
    Stage,
    Watch,
    count_requests,
    wait_until_drawn,
)
from tests.synthetic import synthetic_training

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[BrowserContext]:
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser.new_context(viewport={"width": 1280, "height": 900})
        browser.close()


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture
def open_page(browser: BrowserContext, stage: Stage) -> Iterator[Open]:
    """Opens traces in the browser; at the end of the test the pages must have had no fault."""
    watches: list[Watch] = []

    def opened(*paths: Path, query: str = "", drawn: bool = True) -> Page:
        stage.show(*paths)
        page = browser.new_page()
        count_requests(page)
        watches.append(Watch(page))
        page.goto(stage.address + query)
        if drawn:
            wait_until_drawn(page)
        return page

    yield opened
    for watch in watches:
        watch.page.close()
    assert [fault for watch in watches for fault in watch.faults] == []


@pytest.fixture(scope="session")
def real_trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network trained for three steps under the recorder."""
    torch = pytest.importorskip("torch")
    import memprof

    path = tmp_path_factory.mktemp("real") / "trained.json"
    with memprof.trace(path):
        layers = (torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 8))
        model = torch.nn.Sequential(*layers)
        optimizer = torch.optim.AdamW(model.parameters())
        for _ in range(3):
            model(torch.randn(128, 64)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    return path


@pytest.fixture(scope="session")
def long_trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More events than a chart can show."""
    path = tmp_path_factory.mktemp("long") / "long.json"
    path.write_bytes(synthetic_training(20_000))
    return path
