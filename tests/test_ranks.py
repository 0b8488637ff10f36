"""Names of files where several processes write one each."""

from __future__ import annotations

from pathlib import Path

import pytest

import memprof
from memprof.errors import OutputExistsError
from memprof.ranks import of_this_rank, rank_and_world


@pytest.fixture
def _second_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")


@pytest.mark.usefixtures("_second_of_four")
@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("trace.json", "trace.rank1.json"),
        ("runs/a.b.json", "runs/a.b.rank1.json"),
        ("trace", "trace.rank1"),
        ("trace-rank1.json", "trace-rank1.json"),
        ("trace.rank01.json", "trace.rank01.json"),
        ("trace.rank12.json", "trace.rank12.rank1.json"),
        ("rank1/trace.json", "rank1/trace.rank1.json"),
    ],
)
def test_each_rank_has_a_name_of_its_own(asked: str, written: str) -> None:
    assert of_this_rank(Path(asked)) == Path(written)


@pytest.mark.parametrize(
    ("rank", "world", "known"),
    [
        ("0", "1", (0, 1)),
        ("3", "", (3, 1)),
        ("", "2", None),
        ("", "", None),
        ("-1", "2", None),
        ("one", "2", None),
        ("0", "many", (0, 1)),
    ],
)
def test_a_single_process_keeps_the_name(
    rank: str, world: str, known: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world)
    assert rank_and_world() == known
    assert of_this_rank(Path("trace.json")) == Path("trace.json")


@pytest.mark.usefixtures("_second_of_four")
def test_the_trace_says_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text("of another run")
    recording = memprof.trace(tmp_path / "t.json")
    with recording:
        pass
    assert recording.path == tmp_path / "t.rank1.json"
    assert recording.trace.header["rank"] == 1
    assert (tmp_path / "t.json").read_text() == "of another run"
    with pytest.raises(OutputExistsError, match=r"t\.rank1\.json: exists already"), recording:
        pass
