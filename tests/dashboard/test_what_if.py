"""The estimator's page: what its controls may say, and that it shows what the estimator says."""

from __future__ import annotations

from pathlib import Path

import pytest

from memprof.estimate.estimate import estimate
from memprof.estimate.run_parts import Parallelism
from memprof.estimate.run_spec import RunSpec
from memprof.units import format_bytes
from memprof_dashboard.views.what_if import read_controls
from tests.dashboard.browser import settle
from tests.dashboard.conftest import Open
from tests.trace_builder import TraceBuilder

NAMES = ["llama-3-8b", "gpt2"]


@pytest.mark.parametrize("model", ["/etc/passwd", "../config.json", "", None, 7, ["gpt2"]])
def test_a_model_is_a_name_of_the_list_and_never_a_path(model: object) -> None:
    assert read_controls({"model": model}, NAMES)["model"] == "llama-3-8b"
    assert read_controls({"model": "gpt2"}, NAMES)["model"] == "gpt2"


@pytest.mark.parametrize(("said", "read"), [(10**9, 14), (-3, 0), ("9", 0), (None, 0), (3.0, 3)])
def test_sizes_stay_within_bounds(said: object, read: int) -> None:
    assert read_controls({"batch": said}, NAMES)["batch"] == read


def test_unknown_choices_become_the_first_ones() -> None:
    read = read_controls({"mode": "x", "dtype": "float64", "zero": "9"}, NAMES)
    assert (read["mode"], read["dtype"], read["zero"]) == ("train", "bfloat16", "0")


def test_the_page_says_what_the_estimator_says(open_page: Open, tmp_path: Path) -> None:
    build = TraceBuilder()
    with build.phase("forward", batch=1, tokens=1024):
        build.alloc(1_000)
    page = open_page(build.write(tmp_path / "t.json"), query="?view=what-if")
    name = page.inner_text(".choice.model").splitlines()[-1]

    def expected(**more: int) -> str:
        run = RunSpec(
            mode="train",
            tokens=1024,
            dtype="bfloat16",
            optimizer="AdamW",
            device="cuda",
            batch=more.get("batch", 1),
            parallel=Parallelism(tp=more.get("tp", 1)),
        )
        found = estimate(name, run)
        words = page.inner_text("#answer")
        for verdict, word in ((True, "fits"), (False, "does not fit")):
            count = sum(each is verdict for each in found.fits.values())
            assert words.split("\n").count(word) == count
        return format_bytes(found.fullest.known_bytes)

    assert expected() in page.inner_text("#answer .amount")
    for slider, more in ((0, {"batch": 2}), (2, {"batch": 2, "tp": 2})):
        page.locator(".slide").nth(slider).locator("[role=slider]").first.focus()
        page.keyboard.press("ArrowRight")
        settle(page)
        assert expected(**more) in page.inner_text("#answer .amount")
