"""The lab: every script runs, and every formula holds as well as its row says."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from importlib import import_module

import pytest
import torch

from samples.lab.table import Result, Row
from tools.lab import SCRIPTS, document

#: Rows whose formula must be met to the byte, by script: at least so many.
EXACT = {
    "weights": 4,
    "kv_cache": 3,
    "training": 9,
    "activations": 6,
    "attention": 3,
    "quantised_weights": 7,
    "paged_cache": 4,
    "batching": 5,
    "speculation": 1,
    "experts": 2,
    "offload": 4,
    "hierarchy": 0,
    "tensor_parallel": 5,
    "recurrent": 8,
    "roofline": 4,
}


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """What other tests left behind is nothing that a script made."""
    gc.collect()
    gc.freeze()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the models are too small for more
    yield
    gc.unfreeze()
    torch.set_num_threads(threads)


def test_every_script_is_known() -> None:
    assert set(EXACT) == set(SCRIPTS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("script", SCRIPTS)
def test_script(script: str) -> None:
    result: Result = import_module(f"samples.lab.{script}").measure(quick=True)
    assert [row for row in result.rows if not row.holds] == []
    measured = [row for row in result.rows if row.measured is not None]
    assert measured
    assert all(row.measured > 0 or row.estimated == 0 for row in measured)
    assert sum(row.measured == row.estimated for row in measured) >= EXACT[script]


def test_a_row_that_is_off_by_a_byte_does_not_hold() -> None:
    assert Row("", "", 1000, 1000).holds
    assert not Row("", "", 1000, 1001).holds
    assert not Row("", "", 1000, 1011, within=0.01).holds
    assert Row("", "", 1000, 1009, within=0.01).holds
    assert Row("", "", 1000, 5000, within=None).holds
    assert Row("", "", 1000).error is None


def test_results_say_what_was_computed_and_what_measured() -> None:
    rows = [Row("a claim", "2 × 3", 6, 6), Row("of an H100", "1 | 2", 5e9)]
    text = document({"weights": Result("Weights", rows, ["Mind this."])}, "a machine")
    assert "| a claim | 2 × 3 | 6 B | 6 B | 0 |" in text
    assert "| of an H100 | 1 \\| 2 | 5.00 GB = 4.66 GiB | computed | – |" in text
    assert "Mind this." in text
    assert "python -m samples.lab.weights" in text
