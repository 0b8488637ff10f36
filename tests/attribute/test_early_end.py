"""Traces that end early: what was alive is judged by its like, and nearly always rightly."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np
import pytest

from memprof.attribute import attribute
from memprof.trace import CATEGORIES, Trace, read
from tests.attribute.verdicts import verdicts
from tests.synthetic import synthetic_training
from tests.trace_builder import TraceBuilder


@cache
def whole() -> tuple[Trace, list[str]]:
    trace = read(io.BytesIO(synthetic_training(6_000)))
    return trace, [CATEGORIES[number] for number in attribute(trace).category]


def mistaken_share(events: int) -> float:
    """Bytes alive at the end of a run killed after `events` that are not called what they are."""
    trace = read(io.BytesIO(synthetic_training(events, complete=False)))
    assert len(trace.events) == events
    _, truth = whole()
    alive = np.flatnonzero(trace.allocations.death == events)
    found = attribute(trace).category
    sizes = trace.allocations.nbytes.tolist()
    wrong = sum(sizes[n] for n in alive.tolist() if CATEGORIES[found[n]] != truth[n])
    return wrong / sum(sizes[n] for n in alive.tolist())


@pytest.mark.parametrize("events", range(150, 4_400, 83))
def test_wherever_it_is_killed_nearly_all_bytes_are_called_what_they_are(events: int) -> None:
    assert mistaken_share(events) < 0.02


def interrupted(turns: int) -> TraceBuilder:
    """A training that is killed in the backward of its last step."""
    build = TraceBuilder()
    build.fact("call", {"root": "m", "phase": 1, "grad": True})
    for turn in range(turns):
        build.step()
        build.begin_phase("forward")
        kept = build.alloc(100, op="aten::mm", module="m.linear")
        if turn == turns - 1:
            break
        build.end_phase()
        with build.phase("backward"):
            gradient = build.alloc(50, op="aten::mm", module="m.linear")
            build.free(kept)
        build.label(gradient, "gradient")
        build.free(gradient)
    build.alloc(100, op="aten::add", module="m.linear")
    return build


def test_what_an_early_end_leaves_open_is_told_by_its_like_in_earlier_steps() -> None:
    cut = verdicts(interrupted(3), complete=False)

    assert cut[4:] == [("activations", "alike"), ("activations", "awaits_backward")]


def test_without_a_like_an_interrupted_forward_with_gradients_holds_activations() -> None:
    cut = verdicts(interrupted(1), complete=False)

    assert cut == [("activations", "awaits_backward")] * 2


def test_in_a_whole_trace_nothing_is_told_by_its_like() -> None:
    rules = {rule for _, rule in verdicts(interrupted(3))}

    assert "alike" not in rules
    assert "cut_off" not in rules


def test_the_like_must_be_earlier_and_alike_in_every_trait() -> None:
    def last(**changes: Any) -> tuple[str, str]:
        build = TraceBuilder()
        same: dict[str, Any] = {"op": "aten::mm", "module": "m", "device": "cpu", "nbytes": 100}
        nbytes = same.pop("nbytes")
        with build.phase("prefill"):
            build.free(build.alloc(nbytes, label="kv_cache", **same))
        build.begin_phase(changes.pop("phase", "prefill"))
        build.alloc(changes.pop("nbytes", nbytes), **same | changes)
        build.label(build.alloc(nbytes + 1, **same), "parameter")
        return verdicts(build, complete=False)[1]

    assert last() == ("kv_cache", "alike")
    for change in ({"op": "aten::bmm"}, {"module": "n"}, {"device": "cuda:0"}, {"phase": "decode"}):
        assert last(**change) == ("temporary", "cut_off")
    assert last(nbytes=101) == ("temporary", "cut_off")


def test_what_a_label_says_is_not_reconsidered_at_an_early_end() -> None:
    build = TraceBuilder()
    with build.phase("forward"):
        build.free(build.alloc(8, op="aten::mm"))
        build.alloc(8, op="aten::mm", label="parameter")

    assert verdicts(build, complete=False)[1] == ("weights", "parameter")


def test_what_nobody_knows_is_no_example_for_others() -> None:
    build = TraceBuilder()
    build.begin_phase("prefill")
    build.free(build.alloc(8, op="aten::mm", origin="found"))
    build.alloc(8, op="aten::mm")

    assert verdicts(build, complete=False)[1] == ("temporary", "cut_off")


def test_an_early_end_outside_every_phase_leaves_the_unknown_unknown() -> None:
    build = TraceBuilder()
    build.alloc(8)

    assert verdicts(build, complete=False) == [("unattributed", "unknown")]


def test_only_in_the_backward_that_is_cut_off_a_weights_size_makes_a_gradient() -> None:
    build = TraceBuilder()
    build.alloc(8, op="aten::randn", label="parameter")
    with build.phase("backward"):
        build.alloc(8)
    build.begin_phase("backward")
    build.alloc(8, op="aten::mm")
    build.alloc(9, op="aten::mm")
    build.alloc(8, op="aten::mm", device="cuda:0")

    assert verdicts(build, complete=False)[1:] == [
        ("unattributed", "unknown"),
        ("gradients", "sized_like_a_weight"),
        ("temporary", "cut_off"),
        ("temporary", "cut_off"),
    ]
