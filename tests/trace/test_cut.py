"""A trace cut at a moment equals the one of a program that was killed at that moment."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from memprof.analyze import Analysis
from memprof.trace import CATEGORIES, Trace
from memprof.trace.cut import cut
from tests.trace_builder import TraceBuilder

TABLES = ("allocations", "events", "details", "streams", "steps", "workspaces", "samples")


def same_tables(one: Trace, other: Trace) -> list[str]:
    different = []
    for table in TABLES:
        for field in fields(getattr(one, table)):
            pair: list[Any] = [getattr(getattr(trace, table), field.name) for trace in (one, other)]
            if not np.array_equal(*pair):
                different.append(f"{table}.{field.name}")
    return different


def test_the_same_as_a_killed_program() -> None:
    build = TraceBuilder()
    weight = build.alloc(400, label="parameter", name="w")
    build.step()
    build.fact("call", {"grad": True, "phase": 1, "root": "", "inputs": {}})
    with build.phase("forward"):
        gone = build.alloc(7)
        build.alloc(100, op="aten::mm", module="layer", tensor="float32[25]", stack="a.py:1 f")
        build.free(gone)
        build.workspace(50)
        build.sample("host/rss_bytes", 10)
        now, killed = build.now, build.trace(complete=False)
        last = build.alloc(30)
    build.step()
    with build.phase("backward"):
        build.alloc(400, label="gradient", name="w")
        build.free(last, weight)
    build.sample("host/rss_bytes", 20)
    whole = build.trace()

    found = cut(whole, now)
    assert same_tables(found, killed) == []
    assert not found.complete
    known = len(killed.phases)
    assert found.phases.end_ns[:known].tolist() == killed.phases.end_ns.tolist()
    assert found.phases.begin_ns[:known].tolist() == killed.phases.begin_ns.tolist()
    names = [[CATEGORIES[c] for c in Analysis(t).attribution.category] for t in (found, killed)]
    assert names[0] == names[1] == ["weights", "temporary", "activations"]
    ends = [Analysis(trace).device("cpu").at_time(now) for trace in (found, killed)]
    assert ends[0].by_category == ends[1].by_category
    assert (ends[0].phase, ends[0].requested_bytes) == ("forward", 500)
    whole_names = [CATEGORIES[c] for c in Analysis(whole).attribution.category]
    assert whole_names[:3] == ["weights", "temporary", "activations"]


def test_before_anything_happened() -> None:
    build = TraceBuilder()
    begun = build.now
    build.alloc(8)
    found = cut(build.trace(), begun - 1)
    assert len(found.allocations) == len(found.events) == 0
    assert Analysis(found).devices == ()
