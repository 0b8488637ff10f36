"""The report as plain data, on ordinary traces and on the strangest ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from memprof.analyze import Analysis, report_document
from memprof.trace import CATEGORIES, Trace
from tests.random_traces import RandomProgram
from tests.trace_builder import GIB, TraceBuilder


def report(trace: Trace, **how: Any) -> dict[str, Any]:
    """The report as somebody reads it who has only its text."""
    document: dict[str, Any] = json.loads(json.dumps(report_document(Analysis(trace), **how)))
    return document


def inference() -> TraceBuilder:
    build = TraceBuilder()
    build.alloc(1000, label="parameter", name="m.weight")
    for name in ("prefill", "decode", "decode"):
        build.step()
        with build.phase(name):
            build.alloc(64, label="kv_cache", name="cache.layers.0.keys", module="m")
            build.free(build.alloc(10, op="aten::mm"))
            build.workspace(500, op="aten::sdpa")
    return build


def test_the_report_names_the_run_and_the_peak() -> None:
    found = report(inference().trace())

    assert (found["schema"], found["complete"], found["warnings"]) == (1, True, [])
    about = found["trace"]
    assert (about["program"], about["recorder"], about["torch"]) == (
        ["train.py"],
        "dispatch",
        "2.13.0+cpu",
    )
    assert (about["events"], about["allocations"], about["steps"], about["phases"]) == (10, 7, 3, 3)
    peak = found["devices"]["cpu"]["peak"]
    assert (peak["phase"], peak["step"], peak["requested_bytes"]) == ("decode", 2, 1202)
    assert peak["by_category"] == dict.fromkeys(CATEGORIES, 0) | {
        "weights": 1000,
        "kv_cache": 192,
        "temporary": 10,
    }
    assert found["devices"]["cpu"]["end"]["by_category"]["temporary"] == 0


def test_the_largest_tensors_come_first_and_alike_ones_together() -> None:
    weights, caches, product = report(inference().trace())["devices"]["cpu"]["peak"]["top"]

    assert (weights["bytes"], weights["count"], weights["name"]) == (1000, 1, "m.weight")
    assert (caches["bytes"], caches["bytes_each"], caches["count"]) == (192, 64, 3)
    assert caches["name"] == "cache.layers.*.keys"
    assert (product["op"], product["rule"]) == ("aten::mm", "within_phase")
    assert len(report(inference().trace(), top=1)["devices"]["cpu"]["peak"]["top"]) == 1


def test_numbers_in_names_of_several_alike_tensors_become_stars() -> None:
    build = TraceBuilder()
    for layer in (8, 9, 10):
        build.alloc(5, module=f"h.{layer}.mlp", label="parameter", name=f"h.{layer}.mlp.w1")
    build.alloc(4, module="h.11.mlp")

    several, single = report(build.trace())["devices"]["cpu"]["peak"]["top"]

    assert (several["module"], several["name"]) == ("h.*.mlp", "h.*.mlp.w*")
    assert (single["module"], single["count"]) == ("h.11.mlp", 1)


def test_workspaces_are_told_apart_from_what_was_seen() -> None:
    unseen = report(inference().trace())["devices"]["cpu"]["unseen"]

    assert unseen["workspaces_peak_bytes"] == 1000 + 3 * 64 + 500
    assert (unseen["workspace_bytes"], unseen["op"]) == (500, "aten::sdpa")


def test_without_workspaces_the_peak_with_them_is_the_peak() -> None:
    build = TraceBuilder()
    build.alloc(10)

    device = report(build.trace())["devices"]["cpu"]

    assert device["unseen"]["workspaces_peak_bytes"] == device["peak"]["requested_bytes"] == 10
    assert (device["unseen"]["workspace_bytes"], device["unseen"]["op"]) == (0, "")


def test_steps_and_modules_are_listed() -> None:
    device = report(inference().trace())["devices"]["cpu"]

    assert [(row["step"], row["peak_phase"]) for row in device["steps"]] == [
        (0, "prefill"),
        (1, "decode"),
        (2, "decode"),
    ]
    assert [row["end_bytes"] for row in device["steps"]] == [1064, 1128, 1192]
    assert {row["module"]: row["bytes"] for row in device["modules"]} == {"": 1010, "m": 192}


def test_warnings_and_an_early_end_are_passed_on() -> None:
    build = inference()
    build.warning("compiled", "compiled graphs ran", 4)

    found = report(build.trace(complete=False))

    assert not found["complete"]
    assert found["warnings"] == [{"code": "compiled", "text": "compiled graphs ran", "count": 4}]


@pytest.mark.parametrize("complete", [True, False])
def test_an_empty_trace_has_a_report_without_devices(complete: bool) -> None:
    found = report(TraceBuilder().trace(complete=complete))

    assert found["devices"] == {}
    assert found["trace"]["events"] == 0


def test_a_trace_of_one_event() -> None:
    build = TraceBuilder()
    build.alloc(0)

    device = report(build.trace())["devices"]["cpu"]

    assert device["peak"]["requested_bytes"] == 0
    assert device["peak"]["event"] == 0
    assert device["steps"] == []


def test_every_device_has_its_own_peak() -> None:
    build = TraceBuilder(devices={"cpu": {"name": "host memory", "total_bytes": 64 * GIB}})
    first = build.alloc(5, device="cuda:1")
    build.alloc(70)
    build.free(first)
    build.alloc(3, device="cuda:1")

    devices = report(build.trace())["devices"]

    assert list(devices) == ["cuda:1", "cpu"]
    assert devices["cuda:1"]["peak"]["requested_bytes"] == 5
    assert devices["cpu"]["peak"]["requested_bytes"] == 70
    assert (devices["cpu"]["total_bytes"], devices["cuda:1"]["total_bytes"]) == (64 * GIB, None)


@pytest.mark.parametrize("seed", range(20))
def test_in_random_reports_every_sum_is_whole(seed: int) -> None:
    build = RandomProgram(seed).run(200)
    for complete in (True, False):
        for device in report(build.trace(complete=complete), top=10_000)["devices"].values():
            peak = device["peak"]
            assert list(peak["by_category"]) == list(CATEGORIES)
            assert sum(peak["by_category"].values()) == peak["requested_bytes"]
            assert sum(row["bytes"] for row in peak["top"]) == peak["requested_bytes"]
            assert sum(row["bytes"] for row in device["modules"]) == peak["requested_bytes"]
            assert device["unseen"]["workspaces_peak_bytes"] >= peak["requested_bytes"]
