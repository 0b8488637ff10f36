"""What the writer is given, the reader gives back; files of every kind of ending are read."""

from __future__ import annotations

import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memprof.trace import LABELS, TraceWriter, load, read, read_header
from memprof.trace.schema import TABLES
from memprof.trace.writer import CHUNK_ROWS
from tests.synthetic import synthetic_training
from tests.trace_builder import BEGIN_NS, TICK_NS, TraceBuilder, default_header


def small_training() -> TraceBuilder:
    build = TraceBuilder(rank=3)
    build.step(declared=True)
    weight = build.alloc(400, label="parameter", name="linear.weight", module="linear")
    build.sequence(7, "linear")
    with build.phase("train"), build.phase("forward", batch=2, tokens=64, context=0):
        kept = build.alloc(
            100, op="aten::mm", module="linear", tensor="float32[25]", stack="train.py:4 step\nb"
        )
    with build.phase("backward"):
        grown = build.alloc(70, sequence=8, previous=weight, origin="resized", device="cuda:0")
        build.free(kept)
    build.workspace(33, op="aten::svd", module="linear")
    build.sample("host/rss_bytes", 12_345)
    build.fact("model", {"root": "Linear", "config": None, "sizes": [1, 2]})
    build.warning("compiled", "compiled graphs ran", 2)
    build.warning("compiled", "compiled graphs ran", 5)
    build.free(grown)
    return build


def test_a_small_trace_reads_back_row_by_row() -> None:
    trace = small_training().trace()
    text = trace.strings.__getitem__

    rows = trace.allocations
    assert rows.nbytes.tolist() == [400, 100, 70]
    assert [text(n) for n in rows.op] == ["aten::empty", "aten::mm", "aten::empty"]
    assert [text(n) for n in rows.module] == ["linear", "linear", ""]
    assert [text(n) for n in rows.device] == ["cpu", "cpu", "cuda:0"]
    assert rows.phase.tolist() == [0, 2, 3]
    assert rows.sequence.tolist() == [-1, -1, 8]
    assert rows.previous.tolist() == [-1, -1, 0]
    assert rows.birth.tolist() == [0, 1, 2]
    assert rows.death.tolist() == [5, 3, 4]
    assert trace.events.freed.tolist() == [False, False, False, True, True]
    assert trace.events.allocation.tolist() == [0, 1, 2, 1, 2]
    ticks = (trace.events.time_ns - BEGIN_NS) // TICK_NS
    assert ticks.tolist() == [2, 5, 9, 10, 12]
    assert trace.devices == ("cpu", "cuda:0")


def test_the_other_tables_of_a_small_trace_read_back() -> None:
    trace = small_training().trace()
    text = trace.strings.__getitem__

    label, detail, sequence = trace.labels, trace.details, trace.sequences
    assert (LABELS[label.kind[0]], text(label.name[0])) == ("parameter", "linear.weight")
    assert (detail.allocation[0], text(detail.tensor[0])) == (1, "float32[25]")
    assert text(detail.stack[0]).splitlines() == ["train.py:4 step", "b"]
    assert (sequence.sequence[0], text(sequence.module[0])) == (7, "linear")
    phases = trace.phases
    assert [text(n) for n in phases.name] == ["", "train", "forward", "backward"]
    assert phases.parent.tolist() == [0, 0, 1, 0]
    assert (phases.batch[2], phases.tokens[2], phases.context[2]) == (2, 64, 0)
    assert ((phases.end_ns - phases.begin_ns) // TICK_NS).tolist()[1:] == [4, 2, 3]
    assert (trace.workspaces.nbytes[0], text(trace.workspaces.op[0])) == (33, "aten::svd")
    assert (trace.samples.value[0], text(trace.samples.series[0])) == (12_345, "host/rss_bytes")
    assert trace.facts_of("model") == [{"root": "Linear", "config": None, "sizes": [1, 2]}]
    assert [(w.code, w.count) for w in trace.warnings] == [("compiled", 5)]
    assert (trace.header["rank"], trace.complete, trace.dropped_lines) == (3, True, 0)
    assert trace.summary == {"end_ns": trace.events.time_ns[-1], "allocations": 3}


def test_declared_steps_replace_guessed_ones_but_not_the_first() -> None:
    def steps(*declared: int) -> list[int]:
        build = TraceBuilder()
        for kind in declared:
            build.row("steps", build.tick(), kind)
        return ((build.trace().steps.begin_ns - BEGIN_NS) // TICK_NS).tolist()

    assert steps(2, 0, 0) == [1, 2, 3]
    assert steps(2, 0, 1, 0, 1) == [1, 3, 5]
    assert steps() == []


def test_a_finished_file_is_one_json_document(tmp_path: Path) -> None:
    path = small_training().write(tmp_path / "trace.json")

    document = json.loads(path.read_text())

    assert document["format"] == "memprof-trace"
    assert document["chunks"][-1] == {"k": "end"}
    assert document["summary"]["allocations"] == 3


@pytest.mark.parametrize("suffix", [".json", ".json.gz", ".json.zst"])
def test_compressed_files_read_the_same(tmp_path: Path, suffix: str) -> None:
    path, text = tmp_path / f"trace{suffix}", small_training().to_bytes()
    if suffix.endswith(".zst"):
        text = pytest.importorskip("zstandard").compress(text)
    path.write_bytes(gzip.compress(text) if suffix.endswith(".gz") else text)

    assert load(path).allocations.nbytes.tolist() == [400, 100, 70]
    assert read_header(path)["rank"] == 3


def test_tables_longer_than_a_chunk_are_split_and_joined() -> None:
    rows = 2 * CHUNK_ROWS + 17
    build = TraceBuilder()
    series = build.string("host/rss_bytes")
    for number in range(rows):
        build.row("samples", BEGIN_NS + number, series, number * number)

    text = build.to_bytes()

    assert text.count(b'{"k":"samples"') == 3
    assert read(io.BytesIO(text)).samples.value.tolist() == [n * n for n in range(rows)]


def test_rows_may_come_in_any_order_of_ids_and_with_gaps() -> None:
    sink = io.BytesIO()
    writer = TraceWriter(sink, default_header())
    blank = dict.fromkeys(TABLES["allocations"], 0)
    for row in ({"id": 90, "nbytes": 9}, {"id": 4, "nbytes": 4}, {"id": 17, "nbytes": 7}):
        columns = blank | {"sequence": -1, "previous": 4 if row["id"] == 17 else -1} | row
        writer.table("allocations", {name: np.array([v]) for name, v in columns.items()})
    subjects = [17, 90, ~17, 4]
    writer.table("events", {"time_ns": np.array([5, 3, 8, 9]), "subject": np.array(subjects)})
    writer.end({})

    trace = read(io.BytesIO(sink.getvalue()))

    assert trace.allocations.nbytes.tolist() == [4, 7, 9]
    assert trace.allocations.previous.tolist() == [-1, 0, -1]
    assert trace.allocations.birth.tolist() == [3, 0, 1]
    assert trace.allocations.death.tolist() == [4, 2, 4]
    assert trace.events.time_ns.tolist() == [5, 5, 8, 9]


@given(st.lists(st.text(), max_size=20), st.dictionaries(st.text(), st.integers() | st.text()))
@settings(max_examples=100, deadline=None)
def test_any_text_survives(texts: list[str], value: dict[str, Any]) -> None:
    sink = io.BytesIO()
    writer = TraceWriter(sink, default_header())
    writer.strings(1, texts)
    writer.fact("model", 1, value)
    writer.end({})

    trace = read(io.BytesIO(sink.getvalue()))

    assert list(trace.strings) == ["", *texts]
    assert trace.facts_of("model") == [value]


def test_a_lone_surrogate_from_a_strange_file_name_does_not_spoil_the_file() -> None:
    build = TraceBuilder(program=["caf\udce9.py"])
    build.alloc(1, stack="caf\udce9.py:3 main")

    trace = build.trace()

    assert trace.header["program"] == ["caf?.py"]
    assert trace.strings[trace.details.stack[0]] == "caf?.py:3 main"


def test_the_header_is_read_without_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_bytes(small_training().to_bytes().split(b"\n")[0] + b"\nnot a chunk at all\n")

    assert read_header(path)["rank"] == 3


def test_random_lifetimes_pair_up_as_a_plain_loop_pairs_them() -> None:
    chance = random.Random(5)
    build, alive, story = TraceBuilder(), [], []
    for _ in range(500):
        if alive and chance.random() < 0.45:
            victim = alive.pop(chance.randrange(len(alive)))
            build.free(victim)
            story.append((victim, True))
        else:
            alive.append(build.alloc(chance.randrange(1000)))
            story.append((alive[-1], False))

    trace = build.trace()

    for index in range(len(trace.allocations)):
        assert story[trace.allocations.birth[index]] == (index, False)
        death = trace.allocations.death[index]
        assert death == 500 if index in alive else story[death] == (index, True)


def test_the_synthetic_training_has_as_many_events_as_asked() -> None:
    for events in (145, 146, 1_000, 5_001):
        trace = read(io.BytesIO(synthetic_training(events)))
        assert len(trace.events) == events
        assert trace.complete
