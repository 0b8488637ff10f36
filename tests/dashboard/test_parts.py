"""Parts of the dashboard by themselves: gestures, addresses, bars, tiles, lines, texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from memprof.analyze import ModuleRow, analyze
from memprof.trace import CATEGORIES, Trace, load
from memprof_dashboard.address import Address, read_address, write_address
from memprof_dashboard.bands import Bands
from memprof_dashboard.gestures import clicked_event, neighbour, within, zoomed_to
from memprof_dashboard.legend import legend
from memprof_dashboard.modules import module_tiles
from memprof_dashboard.moments import headline
from memprof_dashboard.notices import notices
from memprof_dashboard.overlays import Overlay
from memprof_dashboard.scale import format_clock, format_seconds, scale_for, typed_array
from memprof_dashboard.state import Shown
from memprof_dashboard.subjects import Subject, subjects_of
from memprof_dashboard.timeline import TimelineFigure
from tests.dashboard.acts import decoded
from tests.trace_builder import BEGIN_NS, TICK_NS, TraceBuilder


def subject(trace: Trace) -> Subject:
    return subjects_of([analyze(trace)])[0]


@pytest.fixture
def crowded() -> Subject:
    """A thousand events in a thousandth of the time, then one far away."""
    build = TraceBuilder()
    for _ in range(500):
        build.free(build.alloc(100))
    build.alloc(7)
    build.tick(1_000_000)
    build.alloc(1)
    return subject(build.trace())


def test_a_click_among_many_events_means_the_highest(crowded: Subject) -> None:
    click = {"xvals": [2e-4], "points": [{"x": 2e-4, "customdata": 1}]}
    assert clicked_event(crowded, click, None) == 0
    near = [1.95e-4, 2.0501e-4]
    assert clicked_event(crowded, {"xvals": [2.005e-4]}, near) == 199
    assert clicked_event(crowded, {"points": [{"x": 0.5, "customdata": 1000}]}, None) == 1000
    assert clicked_event(crowded, {"xvals": [0.5]}, None) == 1000
    assert clicked_event(crowded, {"xvals": ["x"]}, None) is None
    assert clicked_event(crowded, None, None) is None


def test_neighbours_stay_on_the_device() -> None:
    build = TraceBuilder()
    for device in ("cpu", "cuda:0", "cuda:0", "cpu"):
        build.alloc(10, device=device)
    cpu, cuda = subjects_of([analyze(build.trace())])
    assert (cpu.name, cuda.name) == ("cpu", "cuda:0")
    assert [neighbour(cpu, 0, +1), neighbour(cpu, 3, -1), neighbour(cpu, 2, -1)] == [3, 0, 0]
    assert [neighbour(cuda, 2, +1), neighbour(cuda, 1, -1), neighbour(cuda, 0, +1)] == [2, 1, 1]


@pytest.mark.parametrize(
    ("relayout", "expected"),
    [
        ({"xaxis.range[0]": 1, "xaxis.range[1]": 2.5}, (1.0, 2.5)),
        ({"xaxis.range": [1, 2]}, (1.0, 2.0)),
        ({"xaxis.autorange": True}, ()),
        ({"xaxis.range[0]": 2, "xaxis.range[1]": 2}, None),
        ({"autosize": True}, None),
        ({"yaxis.range[0]": 1, "yaxis.range[1]": 2}, None),
        (None, None),
    ],
)
def test_zooming(relayout: object, expected: object) -> None:
    assert zoomed_to(relayout) == expected  # type: ignore[arg-type]


def test_a_window_lies_within_the_trace(crowded: Subject) -> None:
    first, last = ((at - BEGIN_NS) / 1e9 for at in crowded.window_ns)
    assert within(crowded, (0.1, 0.2)) == [0.1, 0.2]
    assert within(crowded, (-5, 0.2)) == [first, 0.2]
    assert within(crowded, (-5, 50)) is None
    assert within(crowded, (40, 50)) is None
    assert last > 1
    assert within(crowded, ()) is None


def test_addresses_come_back() -> None:
    whole = Address(2, 17, 0.25, 1.5, "steps", "mlp act", ("weights", "resident set"), "blocks", 9)
    for said in (whole, Address(event=3), Address(hidden=())):
        assert read_address(write_address(said)) == said
    assert whole.window == (0.25, 1.5)
    assert Address(event=3).window is None


@pytest.mark.parametrize(
    "search", [None, "", "?", "?tab=x&event=1.5&from=nan&to=inf", "?from=3&to=2", "?event=1e400"]
)
def test_nonsense_in_an_address_is_nothing(search: str | None) -> None:
    said = read_address(search)
    assert (said.tab, said.event, said.window) == (None, None, None)


def test_short_phases_are_merged_and_long_ones_kept() -> None:
    build = TraceBuilder()
    for _ in range(3_000):
        with build.phase("tiny"):
            pass
    with build.phase("long"):
        build.tick(6_000)
    bands = Bands(build.trace())
    end = (build.now - BEGIN_NS) / 1e9
    bars = bands.within(0, end)
    assert 10 < len(bars) < 700
    assert bars[-1].text == "long"
    assert sum(int(bar.hover.split()[0]) for bar in bars[:-1]) == 3_000
    few = bands.within(0, 20 * TICK_NS / 1e9)
    assert {bar.text for bar in few} == {"tiny"}
    assert len(few) == 10


def test_nested_phases_lie_in_rows() -> None:
    build = TraceBuilder()
    build.step()
    with build.phase("epoch"), build.phase("forward"):
        build.alloc(1)
    bands = Bands(build.trace())
    assert [(bar.row, bar.text) for bar in bands.within(0, 1)] == [
        (0, "step 0"),
        (1, "epoch"),
        (2, "forward"),
    ]
    assert bands.rows == 3


def test_tiles_sum_and_lone_ones_are_merged() -> None:
    def row(module: str, **held: int) -> ModuleRow:
        return ModuleRow(module, sum(held.values()), dict.fromkeys(CATEGORIES, 0) | held, 1)

    tiles = module_tiles(
        [row("m.h.0", weights=5), row("m.h.1", weights=2, activations=4), row("", inputs=3)]
    )
    found = {tile.path: (tile.name, tile.bytes, tile.parent) for tile in tiles}
    assert found == {
        (): ("all", 14, ()),
        ("m", "h"): ("m.h", 11, ()),
        ("m", "h", "0"): ("0", 5, ("m", "h")),
        ("m", "h", "1"): ("1", 6, ("m", "h")),
        ("inputs, no module",): ("inputs, no module", 3, ()),
    }
    for tile in tiles:
        inside = sum(each.bytes for each in tiles if each.parent == tile.path and each.path)
        assert inside in (0, tile.bytes)


def test_lines_keep_their_highest_when_thinned() -> None:
    values = np.arange(5_000) % 977
    line = Overlay("x", np.arange(5_000), values, "#000000")
    times, shown = line.within(0, 5_000)
    assert len(times) <= 1_000
    assert shown.max() == values.max()
    times, shown = line.within(100, 110)
    assert times.tolist() == list(range(99, 112))


def test_the_estimate_is_drawn_beside_the_measurement() -> None:
    build = TraceBuilder()
    parameter = {"name": "w", "shape": [100], "dtype": "float32", "requires_grad": False}
    parameter |= {"device": "cpu", "storage": 0}
    fact = {"root": "Net", "class": "Net", "config": None, "attention": None}
    fact |= {"gradient_checkpointing": False, "parameters": [parameter], "buffers": []}
    build.alloc(400, label="parameter", name="w")
    build.fact("model", fact)
    chart = TimelineFigure(subject(build.trace()))
    assert [line.value.tolist() for line in chart.lines] == [[400, 400]]
    figure = chart.figure(chart.sample(*chart.subject.window_ns), chart.subject.peak, ())
    drawn = next(trace for trace in figure["data"] if trace["name"].startswith("estimated"))
    assert set(decoded(drawn["y"])) == {400.0}


def estimated_run() -> TraceBuilder:
    """Weights of 400 B with an estimate; others of 100 B at the peak, but of 150 B before it."""
    build = TraceBuilder()
    parameter = {"name": "w", "shape": [100], "dtype": "float32", "requires_grad": False}
    parameter |= {"device": "cpu", "storage": 0}
    fact = {"root": "Net", "class": "Net", "config": None, "attention": None}
    build.free(build.alloc(150, label="input", name="x"))
    build.alloc(400, label="parameter", name="w")
    build.alloc(100, label="input", name="y")
    build.fact("model", fact | {"gradient_checkpointing": False, "parameters": [parameter]})
    return build


def test_what_is_hidden_is_neither_expected_nor_the_peak() -> None:
    chart = TimelineFigure(subject(estimated_run().trace()))
    whole = chart.sample(*chart.subject.window_ns)
    (name,) = (line.name for line in chart.lines)

    def drawn(*hidden: str) -> tuple[str, float, bool, list[float]]:
        changes = chart.change(whole, chart.subject.peak, hidden).to_plotly_json()["operations"]
        values = {tuple(each["location"]): each["params"]["value"] for each in changes}
        (mark,) = values["layout", "annotations"]
        place = len(chart.categories) + 1
        line = values["data", place, "visible"], decoded(values["data", place, "y"])
        return mark["text"], mark["y"], *line

    assert drawn() == ("<b>peak 500 B</b>", 500, True, [400, 400])
    assert drawn("inputs") == ("<b>highest of these 400 B</b>", 400, True, [400, 400])
    assert drawn("weights") == ("<b>highest of these 150 B</b>", 150, False, [0, 0])
    assert drawn(name) == ("<b>peak 500 B</b>", 500, False, [400, 400])
    assert chart.undrawn(["weights"]) == {name}


def test_text_of_bytes_and_times() -> None:
    assert [scale_for(n).unit for n in (0, 1023, 1024, 5 << 30)] == ["B", "B", "KiB", "GiB"]
    assert decoded(typed_array(np.array([1, -2], np.int32))) == [1, -2]
    told = [format_seconds(s) for s in (0, 2e-9, 1.5e-5, 0.0125, 1.672, 150, 4_000)]
    assert told == ["0 s", "2 ns", "15 µs", "12.5 ms", "1.67 s", "150 s", "67 min"]
    assert [format_clock(s) for s in (0.000105, 1.5)] == ["0.1050 ms", "1.5000 s"]


def texts(node: object) -> list[object]:
    """Everything that a part of the page says, in reading order."""
    if isinstance(node, list):
        return [text for child in node for text in texts(child)]
    children = getattr(node, "children", None)
    return texts(children) if children is not None else [node]


def test_an_estimate_that_does_not_fit_is_off_in_the_legend() -> None:
    chart = TimelineFigure(subject(estimated_run().trace()))

    def line(*hidden: str) -> tuple[str, str]:
        button = legend(chart, hidden)[-1]
        return button.className, button.title

    assert line() == ("chip", "Hide estimated without inputs")
    assert line("weights")[0] == "chip off"
    assert "each step's peak" in line("weights")[1]


def test_notices_name_their_trace_where_there_are_several(tmp_path: Path) -> None:
    paths = []
    for number, name in enumerate(("a.json", "b.json")):
        build = TraceBuilder()
        build.alloc(10)
        build.warning("compiled", f"graph {number}", count=2 + number)
        paths.append(build.write(tmp_path / name, complete=name == "a.json"))
    told = "".join(map(str, texts(notices(Shown([analyze(load(path)) for path in paths])))))
    assert "b.json: this trace ends early" in told
    assert "a.json: this" not in told
    assert "a.json: compiled: graph 0 (2 times)" in told
    assert "b.json: compiled: graph 1 (3 times)" in told
    alone = "".join(map(str, texts(notices(Shown([analyze(load(paths[1]))])))))
    assert alone.startswith("This trace ends early")
    assert notices(Shown([analyze(TraceBuilder().trace())])) == []


def test_long_paths_break_behind_their_dots() -> None:
    build = TraceBuilder()
    with build.phase("forward"):
        build.alloc(10, op="aten::mm", module="model.layers.3")
    shown = subject(build.trace())
    *_, place = headline(shown, shown.peak)
    assert place.title == "forward of model.layers.3"
    breaks = [part for part in place.children if not isinstance(part, str)]
    assert "".join(part for part in place.children if isinstance(part, str)) == place.title
    assert [type(part).__name__ for part in breaks] == ["Wbr", "Wbr"]
