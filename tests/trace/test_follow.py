"""A file that grows: what is read of it piece by piece is what is read of it at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from memprof.errors import TraceFileError
from memprof.trace import Trace, load
from memprof.trace.follow import Follower
from tests.synthetic import synthetic_training
from tests.trace_builder import TraceBuilder


def assert_same(one: Trace, other: Trace) -> None:
    assert (one.complete, one.strings, one.summary) == (
        other.complete,
        other.strings,
        other.summary,
    )
    assert one.facts == other.facts
    for table in ("allocations", "events", "labels", "details", "phases", "steps", "samples"):
        for column in getattr(one, table).__slots__:
            np.testing.assert_array_equal(
                getattr(getattr(one, table), column), getattr(getattr(other, table), column)
            )


def grown() -> list[bytes]:
    """A file as it is after each of several flushes, and closed."""
    build, states = TraceBuilder(), []
    states.append(build.to_bytes(complete=False))
    for turn in range(4):
        build.step()
        with build.phase(f"turn {turn}"):
            kept = build.alloc(100 + turn, op=f"aten::op{turn}", label="input", name="x")
            states.append(build.to_bytes(complete=False))
        build.free(kept)
    return [*states, build.to_bytes()]


def test_every_state_reads_as_it_does_at_once(tmp_path: Path) -> None:
    growing, whole = tmp_path / "growing.json", tmp_path / "whole.json"
    growing.write_bytes(grown()[0])
    follower = Follower(growing)
    follower.poll()
    for state in grown()[1:]:
        already = growing.stat().st_size
        with growing.open("ab") as stream:
            stream.write(state[already : already + 7])
        assert follower.poll() is None
        with growing.open("ab") as stream:
            stream.write(state[already + 7 :])
        whole.write_bytes(state)
        found = follower.poll()
        assert found is not None
        assert_same(found, load(whole))
    assert follower.complete
    assert follower.poll() is None


def test_lines_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from memprof.trace import follow

    taken: list[int] = []
    kept = follow.take
    monkeypatch.setattr(
        follow, "take", lambda chunk, parts, line: (taken.append(line), kept(chunk, parts, line))
    )
    text, path = synthetic_training(3_000), tmp_path / "t.json"
    lines = text.splitlines(keepends=True)
    path.write_bytes(lines[0])
    follower = Follower(path)
    for line in lines[1:]:
        with path.open("ab") as stream:
            stream.write(line)
        follower.poll()
    assert taken == list(range(2, len(lines)))


def test_a_file_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    states = grown()
    path.write_bytes(states[-1])
    follower = Follower(path)
    assert follower.poll() is not None
    path.write_bytes(states[1])
    found = follower.poll()
    assert found is not None
    assert (found.complete, len(found.events)) == (False, 1)


def test_what_cannot_be_followed_is_said_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(TraceFileError, match="no such file"):
        Follower(tmp_path / "none.json")
    with pytest.raises(TraceFileError, match="does not grow"):
        Follower(tmp_path / "t.json.gz")
    path = tmp_path / "t.json"
    path.write_bytes(grown()[0])
    follower = Follower(path)
    follower.poll()
    with path.open("ab") as stream:
        stream.write(b"{broken\n")
    with pytest.raises(TraceFileError, match="damaged at line"):
        follower.poll()
