"""What a person does on the page, and what they read there."""

from __future__ import annotations

import base64
import struct
from typing import Any, cast

from playwright.sync_api import Page

from tests.dashboard.browser import settle

_ROWS = """() => {
  const rows = [];
  dash_ag_grid.getApi('tensors').forEachNodeAfterFilterAndSort(node => rows.push(node.data));
  return rows;
}"""
_CHART = "document.querySelector('#timeline .js-plotly-plot')"
_PIXEL = f"""([x, y]) => {{
  const chart = {_CHART}, box = chart.getBoundingClientRect(), full = chart._fullLayout;
  return [box.left + full._size.l + full.xaxis.d2p(x), box.top + full.yaxis._offset
    + full.yaxis.d2p(y)];
}}"""
_POINTS = f"""name => {{
  const trace = {_CHART}._fullData.find(trace => trace.name.includes(name));
  return [Array.from(trace.x), Array.from(trace.y), Array.from(trace.customdata || [])];
}}"""
_TILE = """name => {
  const tiles = [...document.querySelectorAll('#modules g.slice')];
  const tile = tiles.find(each => each.__data__.data.data.label === name);
  const box = tile.querySelector('path').getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
}"""


def listed(page: Page) -> list[dict[str, Any]]:
    """The rows of the table of live tensors."""
    return cast(list[dict[str, Any]], page.evaluate(_ROWS))


def points(page: Page, name: str) -> tuple[list[float], list[float], list[int]]:
    """x, y and custom data of one trace of the timeline, as the browser holds them."""
    x, y, custom = page.evaluate(_POINTS, name)
    return x, y, custom


def pixel(page: Page, seconds: float, amount: float) -> tuple[float, float]:
    """Where on the page the timeline shows a point."""
    x, y = page.evaluate(_PIXEL, [seconds, amount])
    return x, y


def click_at(page: Page, seconds: float, amount: float) -> None:
    """Clicks on the timeline."""
    page.mouse.click(*pixel(page, seconds, amount))
    settle(page)


def drag(page: Page, begin: float, end: float, amount: float) -> None:
    """Zooms the timeline to a window by drawing a box."""
    left, y = pixel(page, begin, amount)
    right, _ = pixel(page, end, amount)
    page.mouse.move(left, y)
    page.mouse.down()
    page.mouse.move((left + right) / 2, y + 4, steps=2)
    page.mouse.move(right, y + 4, steps=2)
    page.mouse.up()
    settle(page)


def window(page: Page) -> tuple[float, float]:
    """The span of time that the timeline shows."""
    begin, end = page.evaluate(f"{_CHART}._fullLayout.xaxis.range")
    return begin, end


def decoded(typed: dict[str, str]) -> list[float]:
    """Reads the numbers of a typed array."""
    raw = base64.b64decode(typed["bdata"])
    letter = {"f4": "f", "f8": "d", "i4": "i"}[typed["dtype"]]
    return list(struct.unpack(f"<{len(raw) // struct.calcsize(letter)}{letter}", raw))


def filter_by(page: Page, words: str) -> None:
    """Types words into the filter of the live tensors."""
    page.fill("#filter", words)
    page.wait_for_timeout(300)
    settle(page)


def tile(page: Page, name: str) -> tuple[float, float]:
    """The middle of a module's tile."""
    page.locator("#modules").scroll_into_view_if_needed()
    x, y = page.evaluate(_TILE, name)
    return x, y


def middle(page: Page, selector: str) -> tuple[float, float]:
    """The middle of the first element that matches."""
    box = page.locator(selector).first.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def hovered(page: Page, chart: str) -> str:
    """What a chart says of the thing under the pointer."""
    return page.locator(f"{chart} .hoverlayer").text_content() or ""


def open_view(page: Page, key: str) -> None:
    """Opens one of the views under the timeline."""
    page.click(f"""button.view[id*='"key":"{key}"']""")
    settle(page)


def choose(page: Page, text: str) -> None:
    """Presses the first button that says this."""
    page.locator("button.action", has_text=text).first.click()
    settle(page)
