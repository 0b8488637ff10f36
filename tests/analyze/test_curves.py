"""Measured curves beside their formulas."""

from __future__ import annotations

from pathlib import Path

import pytest

from memprof.analyze import analyze
from memprof.analyze.curves import cache_points, candidate_peaks, layer_bytes
from memprof.trace import load
from tests.synthetic import BATCH, CONTEXT, FLOAT, HIDDEN, LAYERS, synthetic_training
from tests.trace_builder import TraceBuilder


def test_the_cache_is_read_when_each_call_has_ended() -> None:
    build = TraceBuilder()
    for call in range(3):
        tokens = 4 if call == 0 else 1
        with build.phase("decode", batch=2, tokens=tokens, context=0 if call == 0 else 3 + call):
            build.alloc(100 * tokens, label="kv_cache", name="keys")
            build.free(build.alloc(9_999))
        build.alloc(5, label="kv_cache", name="late")
    analysis = analyze(build.trace())
    points, slope = cache_points(analysis, analysis.device("cpu"))
    assert [(p.tokens, p.batch, p.measured) for p in points] == [
        (4, 2, 400),
        (5, 2, 505),
        (6, 2, 610),
    ]
    assert slope is None
    assert {point.expected for point in points} == {None}


def test_activations_are_summed_by_the_number_of_their_block() -> None:
    build = TraceBuilder()
    with build.phase("forward"):
        for layer in (0, 1):
            for _ in range(2 + layer):
                build.alloc(100, module=f"m.h.{layer}.mlp", label="saved_for_backward", name="x")
        build.alloc(7_000, module="m.head", label="saved_for_backward", name="x")
    with build.phase("backward"):
        pass
    analysis = analyze(build.trace())
    found = layer_bytes(analysis, analysis.device("cpu"))
    assert (found.measured, found.expected) == ({0: 200, 1: 300}, None)


def test_the_candidates_are_parts_of_the_highest_step() -> None:
    build = TraceBuilder()
    for scale in (1, 10):
        build.step()
        with build.phase("forward"):
            kept = build.alloc(300 * scale, module="m.h.0", label="saved_for_backward", name="x")
        with build.phase("backward"):
            build.free(build.alloc(200 * scale))
            gradient = build.alloc(50 * scale, module="m.h.0", label="gradient", name="w")
            build.free(kept)
        with build.phase("optimizer"):
            build.free(build.alloc(80 * scale))
        build.free(gradient)
    analysis = analyze(build.trace())
    found = candidate_peaks(analysis, analysis.device("cpu"))
    assert {peak.name: peak.measured for peak in found} == {
        "loss": 5_000,
        "backward": 3_500,
        "optimizer": 1_300,
    }
    assert found[0].event == analysis.device("cpu").peak.event
    assert {peak.expected for peak in found} == {None}


def test_a_run_without_backward_has_no_candidates() -> None:
    build = TraceBuilder()
    build.alloc(3)
    analysis = analyze(build.trace())
    assert candidate_peaks(analysis, analysis.device("cpu")) == []
    assert cache_points(analysis, analysis.device("cpu")) == ([], None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("curves") / "t.json"
    path.write_bytes(synthetic_training(5_000))
    return path


def test_each_block_of_a_gpt_keeps_what_its_shapes_say(trained: Path) -> None:
    analysis = analyze(load(trained))
    found = layer_bytes(analysis, analysis.device("cpu"))
    widths = 1 + 3 + 1 + 1 + 1 + 1 + 4 + 4 + 4 + 1
    assert found.measured == dict.fromkeys(range(LAYERS), widths * BATCH * CONTEXT * HIDDEN * FLOAT)
