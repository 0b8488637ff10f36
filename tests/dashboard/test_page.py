"""The page in a real browser: what it shows, and what clicks, zooms and words do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from memprof.analyze import analyze, report_document
from memprof.trace import load
from memprof.units import format_bytes
from tests.dashboard import oracle
from tests.dashboard.acts import click_at, drag, filter_by, listed, open_view, points, tile, window
from tests.dashboard.browser import settle
from tests.dashboard.conftest import Open

MIB = 1 << 20


def test_a_real_trace_opens_at_its_peak(open_page: Open, real_trace: Path) -> None:
    page = open_page(real_trace)
    peak = report_document(analyze(load(real_trace)))["devices"]["cpu"]["peak"]
    assert page.inner_text("#moment-bytes") == format_bytes(peak["requested_bytes"])
    assert "the peak" in page.inner_text("#headline")
    open_view(page, "analysis")
    assert re.search(
        r"weights\s+73\.03 KiB\s+73\.03 KiB\s+0 B\s+exact", page.inner_text("#comparison")
    )


def test_a_click_on_the_peak_lists_what_was_alive(open_page: Open, real_trace: Path) -> None:
    page, trace = open_page(real_trace), load(real_trace)
    event = oracle.peak_event(trace)
    alive = oracle.alive_after(trace, event)
    x, y, events = points(page, "total")
    place = events.index(event)
    click_at(page, (x[0] + x[place]) / 2, y[place] / 20)
    assert "of the peak" in page.inner_text("#headline")
    assert {row["allocation"] for row in listed(page)} != set(map(str, alive))
    click_at(page, x[place], y[place] / 2)
    rows = listed(page)
    assert {int(row["allocation"]): row["bytes"] for row in rows} == alive
    reported = report_document(analyze(trace))["devices"]["cpu"]["peak"]["requested_bytes"]
    assert sum(row["bytes"] for row in rows) == reported
    assert f"event={event}" in page.url


def test_events_can_be_walked_one_by_one(open_page: Open, real_trace: Path) -> None:
    page, trace = open_page(real_trace), load(real_trace)
    event = oracle.peak_event(trace)
    for button, expected in (("#previous", event - 1), ("#next", event), ("#next", event + 1)):
        page.click(button)
        settle(page)
        alive = oracle.alive_after(trace, expected)
        assert sum(row["bytes"] for row in listed(page)) == sum(alive.values())
    page.click("#go-to-peak")
    settle(page)
    assert "the peak" in page.inner_text("#headline")


def test_no_zoom_loses_a_peak(open_page: Open, long_trace: Path) -> None:
    page = open_page(long_trace)
    shown = re.fullmatch(
        r"([\d,]+) of 20,000 events drawn, every peak among them", page.inner_text("#events")
    )
    assert shown
    assert int(shown[1].replace(",", "")) < 2_000
    begin, end = window(page)
    for share in (0.35, 0.1):
        middle, half = (begin + end) / 2, share * (end - begin) / 2
        drag(page, middle - half, middle + half, 20)
        begin, end = window(page)
        x, y, _ = points(page, "total")
        assert max(y) * MIB == pytest.approx(
            oracle.highest_within(long_trace, begin, end), rel=1e-6
        )
        assert min(x) == pytest.approx(begin)
        assert max(x) == pytest.approx(end)
    assert "20,000" not in page.inner_text("#events")
    page.click("#whole")
    settle(page)
    assert "of 20,000 events" in page.inner_text("#events")


def test_hidden_layers_leave_the_sum_of_the_others(open_page: Open, long_trace: Path) -> None:
    page = open_page(long_trace)
    page.click("#legend >> text=activations")
    settle(page)
    _, total, _ = points(page, "total")
    names = ("weights", "optimizer state", "gradients", "inputs", "temporary", "unattributed")
    shown = [
        points(page, name)[1] for name in names if page.query_selector(f"[title='Hide {name}']")
    ]
    assert len(shown) >= 5
    for level, *parts in zip(total, *shown, strict=True):
        assert level == pytest.approx(sum(parts), abs=1e-3)


def test_words_filter_all_tensors(open_page: Open, long_trace: Path) -> None:
    page, trace = open_page(long_trace), load(long_trace)
    everything = listed(page)
    filter_by(page, "MLP c_fc")
    rows = listed(page)
    wanted = [row for row in everything if _says(row, "mlp") and _says(row, "c_fc")]
    assert [row["allocation"] for row in rows] == [row["allocation"] for row in wanted]
    assert 0 < len(rows) < len(everything)
    held = sum(row["bytes"] for row in wanted)
    peak = sum(oracle.alive_after(trace, oracle.peak_event(trace)).values())
    told = f"{len(rows)} tensors, {format_bytes(held)} of {format_bytes(peak)}"
    assert page.inner_text("#count") == told
    filter_by(page, "no such thing")
    assert listed(page) == []


def _says(row: dict[str, object], word: str) -> bool:
    keys = ("what", "module", "op", "tensor", "phase", "stack", "key")
    return any(word in str(row[key] or "").lower() for key in keys)


def test_bars_and_tiles_filter_the_table(open_page: Open, long_trace: Path) -> None:
    page = open_page(long_trace)
    page.click("#bars >> text=weights")
    settle(page)
    assert {row["key"] for row in listed(page)} == {"weights"}
    page.mouse.click(*tile(page, "lm_head"))
    settle(page)
    assert {row["module"] for row in listed(page)} == {"lm_head"}


def test_the_table_sorts(open_page: Open, long_trace: Path) -> None:
    page = open_page(long_trace)
    sizes = [row["bytes"] for row in listed(page)]
    assert sizes == sorted(sizes, reverse=True)
    page.click(".ag-header-cell[col-id=age]")
    page.wait_for_timeout(200)
    ages = [row["age"] for row in listed(page)]
    assert ages == sorted(ages) != sorted(ages, reverse=True)


def test_an_address_shows_the_same_again(open_page: Open, long_trace: Path) -> None:
    trace = load(long_trace)
    seconds = (int(trace.events.time_ns[-1]) - trace.begin_ns) / 1e9
    span = (0.2 * seconds, 0.5 * seconds)
    query = f"?event=5000&from={span[0]}&to={span[1]}"
    page = open_page(long_trace, query=query)
    settle(page)
    assert window(page) == pytest.approx(span)
    alive = oracle.alive_after(trace, 5_000)
    assert page.inner_text("#moment-bytes") == format_bytes(sum(alive.values()))
