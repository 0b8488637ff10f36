"""Two traces held against each other, and limits on what grew."""

from __future__ import annotations

import pytest

from memprof.analyze import Analysis, analyze, diff
from memprof.analyze.diff import Change, diff_document
from memprof.analyze.limits import exceeded, parse_limit
from memprof.errors import UsageError
from memprof.trace import CATEGORIES
from tests.trace_builder import TraceBuilder


def run(each: int = 100, layers: int = 3, gradient: int = 40, device: str = "cpu") -> Analysis:
    """Weights of 80 bytes, `each` bytes kept by each layer, then a gradient."""
    build = TraceBuilder()
    build.alloc(80, label="parameter", name="head.weight", module="head", device=device)
    with build.phase("forward"):
        kept = [
            build.alloc(
                each,
                op="aten::mm",
                module=f"layers.{layer}",
                device=device,
                label="saved_for_backward",
                tensor=f"float32[{each}]",
                stack="train.py:7 forward",
            )
            for layer in range(layers)
        ]
    with build.phase("backward"):
        build.free(*kept)
        build.alloc(gradient, label="gradient", name="head.weight", module="head", device=device)
    return analyze(build.trace())


def test_what_grew() -> None:
    (found,) = diff(run(), run(each=110))
    assert found.device == "cpu"
    assert found.peak == Change(380, 410)
    assert found.end == Change(120, 120)
    assert [row.category for row in found.categories] == list(CATEGORIES)
    grown = [row for row in found.categories if row.highest.growth]
    (row,) = grown
    assert (row.category, row.highest, row.at_peak) == (
        "activations",
        Change(300, 330),
        Change(300, 330),
    )
    assert row.highest.percent == pytest.approx(10)
    (module,) = found.modules
    assert (module.module, module.bytes) == ("layers.*", Change(300, 330))
    (tensor,) = found.tensors
    assert (tensor.category, tensor.module, tensor.op) == ("activations", "layers.*", "aten::mm")
    assert (tensor.bytes, tensor.count) == (Change(300, 330), Change(3, 3))
    assert (tensor.tensor, tensor.place) == ("float32[110]", "train.py:7 forward")


def test_what_changed_most_is_first() -> None:
    (found,) = diff(run(layers=2), run(layers=5, gradient=600))
    assert found.peak == Change(280, 680)
    changes = [(row.category, row.bytes.growth, row.count) for row in found.tensors]
    assert changes == [
        ("gradients", 600, Change(0, 1)),
        ("activations", -200, Change(2, 0)),
    ]


def test_alike_and_less() -> None:
    (same,) = diff(run(), run())
    assert (same.modules, same.tensors) == ((), ())
    assert all(row.highest.growth == 0 for row in same.categories)
    (less,) = diff(run(each=110), run())
    assert less.peak.growth == -30
    assert exceeded([less], [parse_limit("+0%")]) == []


def test_devices_that_only_one_run_used() -> None:
    moved = diff(run(), run(device="cuda:0"))
    assert {found.device: found.peak for found in moved} == {
        "cpu": Change(380, 0),
        "cuda:0": Change(0, 380),
    }
    nothing = analyze(TraceBuilder().trace())
    assert diff(nothing, nothing) == ()
    assert diff(nothing, run())[0].peak == Change(0, 380)


def test_percent() -> None:
    assert Change(0, 0).percent == 0
    assert Change(0, 5).percent is None
    assert Change(200, 150).percent == -25


def test_document() -> None:
    document = diff_document(run(), run(each=110))
    assert document["schema"] == 1
    device = document["devices"]["cpu"]
    assert device["peak"] == {
        "before_bytes": 380,
        "after_bytes": 410,
        "growth_bytes": 30,
        "growth_percent": pytest.approx(100 * 30 / 380),
    }
    assert list(device["categories"]) == list(CATEGORIES)
    assert device["tensors"][0]["after_count"] == 3


@pytest.mark.parametrize(
    ("limit", "found"),
    [
        ("+5%", ["total", "activations"]),
        ("5 %", ["total", "activations"]),
        ("+9%", ["activations"]),
        ("+10%", []),
        ("+29", ["total", "activations"]),
        ("+30 B", []),
        ("+1 KiB", []),
        ("total=+5%", ["total"]),
        ("activations = +9.9%", ["activations"]),
        ("weights=+0%", []),
    ],
)
def test_limits(limit: str, found: list[str]) -> None:
    excesses = exceeded(diff(run(), run(each=110)), [parse_limit(limit)])
    assert [excess.what for excess in excesses] == found


def test_out_of_nothing_is_more_than_any_percentage() -> None:
    (excess,) = exceeded(diff(run(gradient=0), run()), [parse_limit("gradients=+500%")])
    assert excess.sentence() == (
        "gradients grew from 0 B to 40 B on cpu (+40 B), limit gradients=+500%"
    )


@pytest.mark.parametrize("text", ["", "much", "+5 %%", "-5%", "weight=+5%", "1.2.3%", "+3 parsecs"])
def test_what_is_no_limit(text: str) -> None:
    with pytest.raises(UsageError):
        parse_limit(text)
