"""Files that no recorder wrote are refused in one line that says what is wrong."""

from __future__ import annotations

import gzip
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memprof.errors import TraceFileError
from memprof.trace import Trace, load, read, read_header, reader
from memprof.trace.schema import VERSION
from tests.trace_builder import BEGIN_NS, TraceBuilder, default_header


def refusal(text: bytes) -> str:
    """The message with which a file is refused."""
    with pytest.raises(TraceFileError) as error:
        read(io.BytesIO(text), "t.json")
    message = str(error.value)
    assert message.startswith("t.json: ")
    assert "\n" not in message
    assert len(message) < 300
    return message.removeprefix("t.json: ")


def opening(**changes: Any) -> bytes:
    document = {"format": "memprof-trace", "version": 1, "header": default_header()} | changes
    return json.dumps(document, separators=(",", ":"))[:-1].encode() + b',"chunks":[\n'


def with_chunk(**chunk: Any) -> bytes:
    return opening() + json.dumps(chunk).encode() + b",\n"


def test_the_opening_made_here_is_one_that_is_read() -> None:
    assert len(read(io.BytesIO(opening())).events) == 0
    assert refusal(with_chunk(k="fact")).startswith("damaged at line 2")


@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b"[1, 2, 3]\n",
        b'{"traceEvents": [{"ph": "X"}]}\n',
        b"PK\x03\x04 a zip file \x00\x00\n",
        b"\x80\x04\x95 a pickle.",
        b"\xff\xfe\x00\x00",
        b"\n\n\n",
        b"memprof? no\n",
        b"[" * 100_000,
    ],
)
def test_a_foreign_file_is_called_foreign(text: bytes) -> None:
    assert refusal(text) == "not a memprof trace; memprof.trace() writes one"


def test_an_empty_file_is_called_empty() -> None:
    assert refusal(b"").startswith("is empty")


def test_a_newer_format_is_refused_by_its_name() -> None:
    message = refusal(opening(version=VERSION + 1))

    assert f"written in format {VERSION + 1}" in message
    assert "pip install -U torch-memprof" in message


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "1"},
        {"version": None},
        {"version": True},
        {"version": 0},
        {"version": 0.5},
        {"header": None},
        {"header": []},
        {"header": {}},
        {"header": default_header() | {"begin_ns": "now"}},
        {"header": default_header() | {"begin_ns": 1 << 63}},
        {"header": default_header() | {"devices": ["cpu"]}},
        {"header": default_header() | {"devices": {"cpu": "host"}}},
        {"header": default_header() | {"program": "train.py"}},
        {"header": default_header() | {"program": [1]}},
    ],
)
def test_a_first_line_with_wrong_types_is_damaged(changes: dict[str, Any]) -> None:
    assert refusal(opening(**changes)).startswith("damaged in its first line")


def test_a_file_rewritten_by_another_program_says_that_it_was() -> None:
    document = json.loads(TraceBuilder().to_bytes())

    assert "read as it was written" in refusal(json.dumps(document, indent=1).encode())
    assert "read as it was written" in refusal(json.dumps(document).encode())


@pytest.mark.parametrize(
    "line",
    [
        b"[],\n",
        b"7,\n",
        b'"text",\n',
        b"nonsense\n",
        b"\n",
        b"{" * 100_000 + b"\n",
        b"\xff\xfe\n",
        b'{"k":"end"}\n',
        b'{"k":"end"}],"summary":\n',
    ],
)
def test_a_line_that_is_no_chunk_is_damage(line: bytes) -> None:
    assert refusal(opening() + line).startswith("damaged at line 2: ")


@pytest.mark.parametrize(
    "chunk",
    [
        {},
        {"k": None},
        {"k": ["strings"]},
        {"k": "no such table"},
        {"k": "x" * 10_000},
        {"k": "strings"},
        {"k": "strings", "i0": 2, "v": ["a"]},
        {"k": "strings", "i0": 0, "v": ["a"]},
        {"k": "strings", "i0": 1, "v": "text"},
        {"k": "strings", "i0": 1, "v": ["a", 1]},
        {"k": "fact", "kind": 1, "time_ns": 1, "value": {}},
        {"k": "fact", "kind": "model", "time_ns": 0.5, "value": {}},
        {"k": "fact", "kind": "model", "time_ns": 1 << 70, "value": {}},
        {"k": "fact", "kind": "model", "time_ns": 1, "value": []},
        {"k": "warning", "code": "a", "text": "b", "count": "many"},
        {"k": "warning", "code": None, "text": "b", "count": 1},
        {"k": "events"},
        {"k": "events", "n": "2", "c": {}},
        {"k": "events", "n": True, "c": {}},
        {"k": "events", "n": -1, "c": {}},
        {"k": "events", "n": 1 << 40, "c": {}},
        {"k": "events", "n": 1, "c": []},
        {"k": "events", "n": 1, "c": {}},
        {"k": "events", "n": 1, "c": {"time_ns": None, "subject": None}},
    ],
)
def test_a_chunk_of_the_wrong_shape_is_damage(chunk: dict[str, Any]) -> None:
    assert refusal(with_chunk(**chunk)).startswith("damaged at line 2: ")


Spoil = Callable[[TraceBuilder, int], object]


def allocation(build: TraceBuilder, **changes: int) -> None:
    columns = {"id": 5, "nbytes": 9, "op": 0, "module": 0, "phase": 0}
    columns |= {"sequence": -1, "device": 0, "origin": 0, "previous": -1}
    build.row("allocations", *(columns | changes).values())
    build.row("events", build.tick(), changes.get("id", 5))


CONTRADICTIONS: dict[str, Spoil] = {
    "an allocation was never born": lambda b, _: b.row("allocations", 8, 9, 0, 0, 0, -1, 0, 0, -1),
    "dies before its birth": lambda b, _: (b.row("events", b.now, ~5), allocation(b)),
    "an event refers to no allocation  ": lambda b, _: allocation(b, id=-5),
    "size is impossible": lambda b, _: allocation(b, nbytes=-1),
    "size is impossible ": lambda b, _: allocation(b, nbytes=(1 << 50) + 1),
    "allocations.op refers to nothing": lambda b, _: allocation(b, op=999),
    "allocations.module refers to nothing": lambda b, _: allocation(b, module=-1),
    "allocations.device refers to nothing": lambda b, _: allocation(b, device=999),
    "an allocation's phase refers to nothing": lambda b, _: allocation(b, phase=7),
    "an allocation's phase refers to nothing ": lambda b, _: allocation(b, phase=-1),
    "origin refers to nothing": lambda b, _: allocation(b, origin=200),
    "an allocation continues a later one": lambda b, _: allocation(b, previous=5),
    "an allocation appears twice": lambda b, one: allocation(b, id=one),
    "an event refers to no allocation": lambda b, _: b.row("events", b.now, 77),
    "an event refers to no allocation ": lambda b, _: b.row("events", b.now, ~77),
    "born or dies twice": lambda b, one: b.row("events", b.now, one),
    "born or dies twice ": lambda b, one: b.free(one, one),
    "events.time_ns is impossible": lambda b, _: b.row("events", 1 << 62, 0),
    "samples.time_ns is impossible": lambda b, _: b.row("samples", -(1 << 62), 0, 0),
    "steps.begin_ns is impossible": lambda b, _: b.row("steps", 1 << 62, 0),
    "samples.series refers to nothing": lambda b, _: b.row("samples", 1, 999, 0),
    "labels.name refers to nothing": lambda b, one: b.row("labels", 1, one, 0, 999, 0),
    "a label's kind refers to nothing": lambda b, one: b.row("labels", 1, one, 255, 0, 0),
    "details.stack refers to nothing": lambda b, one: b.row("details", one, 0, 999),
    "sequences.module refers to nothing": lambda b, _: b.row("sequences", 1, 1, 999),
    "a phase's parent refers to nothing": lambda b, _: b.row("phases", 1, 0, 9, 0, 1, 2, 0, 0, 0),
    "a phase's number is impossible": lambda b, _: b.row("phases", 0, 0, 0, 0, 1, 2, 0, 0, 0),
    "a phase's number is impossible ": lambda b, _: b.row(
        "phases", 1 << 30, 0, 0, 0, 1, 2, 0, 0, 0
    ),
    "a workspace's phase refers to nothing": lambda b, _: b.row("workspaces", 1, 1, 0, 0, 9, 0),
    "a workspace's size is impossible": lambda b, _: b.row("workspaces", 1, -1, 0, 0, 0, 0),
}


@pytest.mark.parametrize("message", CONTRADICTIONS)
def test_tables_that_contradict_each_other_are_damage(message: str) -> None:
    build = TraceBuilder()
    one = build.alloc(100)
    assert len(build.trace().events) == 1

    CONTRADICTIONS[message](build, one)

    assert refusal(build.to_bytes()).startswith("damaged: ")
    assert message.strip() in refusal(build.to_bytes())


def test_two_traces_in_one_file_are_damage() -> None:
    text = TraceBuilder().to_bytes()

    assert "something follows the end" in refusal(text + text)
    assert read(io.BytesIO(text + b"\n \n")).complete


def test_a_phase_inside_itself_is_read_and_harms_nobody() -> None:
    build = TraceBuilder()
    build.row("phases", 1, build.string("forward"), 1, 0, BEGIN_NS, -1, 0, 0, 0)

    assert build.trace().phases.parent.tolist() == [0, 1]


def test_random_damage_never_gets_past_as_anything_but_our_error() -> None:
    build = TraceBuilder()
    for size in range(40):
        build.step()
        with build.phase("forward"):
            made = build.alloc(size, label="gradient", name=f"n{size}", stack="a.py:1 f")
        build.free(made)
    whole, chance = build.to_bytes(), random.Random(7)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(600):
        text = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            text[chance.randrange(len(text))] = chance.randrange(256)
        outcomes["refused" if isinstance(attempt(bytes(text)), str) else "read"] += 1

    assert outcomes["refused"] > 300


def attempt(text: bytes) -> Trace | str:
    try:
        return read(io.BytesIO(text))
    except TraceFileError as error:
        return str(error)


def test_a_line_without_end_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_LINE", 1_000)

    assert "the line has no end" in refusal(opening() + b"x" * 2_000)


def test_files_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    plain = tmp_path / "plain.json.gz"
    plain.write_bytes(b"not compressed at all")
    (tmp_path / "plain.json.zst").write_bytes(b"not compressed at all")
    (tmp_path / "empty.json.gz").write_bytes(gzip.compress(b""))
    broken = bytearray(gzip.compress(TraceBuilder().to_bytes()))
    broken[-8] ^= 0xFF
    (tmp_path / "broken.json.gz").write_bytes(broken)

    for reads in (load, read_header):
        for name, message in {
            "missing.json": "no such file",
            ".": "is a directory",
            "plain.json.gz": "cannot be read: Not a gzipped file",
            "plain.json.zst": "cannot be read: ",
            "empty.json.gz": "is empty",
        }.items():
            with pytest.raises(TraceFileError, match=message) as error:
                reads(tmp_path / name)
            assert str(tmp_path / name) in str(error.value)
    with pytest.raises(TraceFileError, match=r"cannot be read: .*CRC check failed"):
        load(tmp_path / "broken.json.gz")
