"""`memprof replay`: snapshots and traces, as text and as JSON, and what if."""

from __future__ import annotations

import json
import math
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from memprof.cli.main import main
from tests.cli.terminal import memprof, python
from tests.interop.snapshot_files import page, pickled, snapshot
from tests.predict.allocator.programs import MIB
from tests.predict.allocator.reference import Rules
from tests.predict.replay.recorder import recorded
from tests.snapshots import needs_snapshots, snapshots
from tests.trace_builder import TraceBuilder

EXPANDABLE = "expandable_segments:True"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot that begins midway, with requests that failed for want of memory."""
    made = recorded("", Rules(capacity=300 * MIB), seed=1, skipped=50)
    file = tmp_path_factory.mktemp("replay") / "s.pickle"
    file.write_bytes(pickled(snapshot(made)))
    return file


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three segments of 60 MiB with 31 held in each, then 80 MiB: 253 MiB as PyTorch does it."""
    build = TraceBuilder()
    build.alloc(5, device="cpu")
    for _ in range(3):
        build.free(build.alloc(60 * MIB, device="cuda:0"))
        build.alloc(31 * MIB, device="cuda:0")
    build.alloc(80 * MIB, device="cuda:0")
    return build.write(tmp_path_factory.mktemp("replay") / "t.json")


def answer(file: Path, *options: object) -> subprocess.CompletedProcess[str]:
    return memprof("replay", file.name, *options, cwd=file.parent)


@cache
def document(file: Path, *options: object) -> dict[str, Any]:
    done = answer(file, "--json", *options)
    assert done.stderr == ""
    return dict(json.loads(done.stdout))


def refusal(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    """The exit code and the one line on stderr of a command in this process."""
    code = main(["replay", *map(str, words)])
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return code, printed.err


def test_a_snapshot_is_replayed_exactly(recording: Path) -> None:
    done = answer(recording)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("s.pickle · cuda:0 · ")
    assert "Replayed exactly: every address" in done.stdout
    assert "Segments at the end" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("Next: memprof replay s.pickle ")


def test_the_document(recording: Path) -> None:
    made = recorded("", Rules(capacity=300 * MIB), seed=1, skipped=50)
    found = document(recording, "--points", 0)
    assert (found["exact"], found["mismatches"], found["told"]) == (True, 0, [])
    assert found["events"] == len(made.events)
    assert [s["address"] for s in found["segments"]] == [s.address for s in made.segments]
    assert sum(s["bytes"] for s in found["segments"]) == found["end"]["reserved"]
    for segment in found["segments"]:
        assert sum(block["bytes"] for block in segment["blocks"]) == segment["bytes"]
    series = found["series"]
    assert len({len(column) for column in series.values()}) == 1
    assert max(series["reserved"]) == found["reserved_peak"]
    assert all(0 <= share <= 1 for share in series["fragmentation"])


def test_series_are_thinned_but_keep_the_highest(recording: Path) -> None:
    whole, thin = document(recording, "--points", 0), document(recording, "--points", 40)
    assert len(thin["series"]["request"]) <= 40 < len(whole["series"]["request"])
    for level in ("allocated", "reserved", "fragmented"):
        assert max(thin["series"][level]) == max(whole["series"][level])


def test_a_recorded_failure_is_told_with_the_capacity_it_failed_at(recording: Path) -> None:
    failure = document(recording)["out_of_memory"]
    assert failure["capacity"] == 300 * MIB
    assert failure["reserved"] + failure["segment"] > 300 * MIB
    assert "Out of memory, as it was recorded" in answer(recording).stdout


def test_a_page_of_memory_viz_says_the_same(recording: Path) -> None:
    file = recording.with_name("s.html")
    file.write_bytes(page(recording.read_bytes()))
    assert {**document(file), "source": ""} == {**document(recording), "source": ""}


def test_a_wrong_recording_is_not_exact(tmp_path: Path) -> None:
    """A block that PyTorch would have put elsewhere, as if its rules had been others."""
    made = recorded("", Rules(), seed=3)
    wrong = snapshot(made)
    wrong["allocator_settings"]["roundup_power2_divisions"] = {str(1 << n): 2 for n in range(16)}
    (tmp_path / "s.pickle").write_bytes(pickled(wrong))
    done = answer(tmp_path / "s.pickle")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Not exact" in done.stdout


def test_a_trace_is_replayed_under_the_default_settings(trace: Path) -> None:
    found = document(trace)
    assert (found["exact"], found["mismatches"], found["device"]) == (None, None, "cuda:0")
    assert found["reserved_peak"] == (3 * 60 + 80) * MIB
    assert found["allocated_peak"] == (3 * 31 + 80) * MIB
    assert found["fragmented_peak"] == 3 * 29 * MIB
    assert document(trace, "--device", "cpu")["reserved_peak"] == 2 * MIB


def test_what_pytorch_measured_stands_beside(tmp_path: Path) -> None:
    build = TraceBuilder()
    build.sample("cuda:0/reserved_bytes", 22 * MIB)
    build.sample("cuda:0/reserved_bytes", 20 * MIB)
    build.alloc(3 * MIB, device="cuda:0")
    build.alloc(5, device="cpu")
    build.write(tmp_path / "t.json")
    found = document(tmp_path / "t.json")
    assert (found["reserved_peak"], found["measured_reserved_peak"]) == (20 * MIB, 22 * MIB)
    text = answer(tmp_path / "t.json").stdout
    assert "PyTorch itself said that it had reserved 22.00 MiB at most." in text
    assert "cpu with --device" in text


def test_a_snapshot_without_a_verb_is_one_to_replay(recording: Path) -> None:
    done = memprof("s.pickle", cwd=recording.parent)
    assert done.returncode == 2
    assert "did you mean: memprof replay s.pickle" in done.stderr


def test_a_trace_that_ends_early_says_so(tmp_path: Path) -> None:
    build = TraceBuilder()
    build.alloc(MIB, device="cuda:0")
    build.write(tmp_path / "t.json", complete=False)
    assert document(tmp_path / "t.json")["complete"] is False
    assert "The trace ends early" in answer(tmp_path / "t.json").stdout


def test_this_would_not_have_happened(trace: Path) -> None:
    done = answer(trace, "--capacity", "200MiB", "--settings", EXPANDABLE)
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert f"this OOM would not have happened with {EXPANDABLE}" in text
    assert "it would have fitted had the unused memory been in one piece" in text


def test_the_moment_of_failure_at_a_capacity(trace: Path) -> None:
    found = document(trace, "--capacity", "200MiB")
    own, expandable, oversize = found["what_if"]
    assert own["out_of_memory"] == {
        "request": 9,
        "time_ns": found["series"]["time_ns"][9],
        "requested": 80 * MIB,
        "segment": 80 * MIB,
        "allocated": 93 * MIB,
        "reserved": 180 * MIB,
        "fragmented": 87 * MIB,
        "capacity": 200 * MIB,
        "fragmentation": True,
    }
    assert expandable["out_of_memory"] is None
    assert expandable["reserved_peak"] == 180 * MIB
    assert oversize["settings"] == "max_split_size_mb:128"
    assert oversize["verdict"].startswith("out of memory")


def test_a_limit_that_is_exceeded_is_the_exit_code(trace: Path) -> None:
    assert answer(trace, "--capacity", "200MiB").returncode == 3
    assert answer(trace, "--capacity", "300MiB").returncode == 0
    assert answer(trace, "--capacity", "150MiB", "--settings", EXPANDABLE).returncode == 3


def test_a_device_of_the_catalogue(trace: Path) -> None:
    (own,) = document(trace, "--gpu", "h100-80gb")["what_if"]
    assert own["capacity"] > 79 * 10**9
    assert own["verdict"] == "all requests fit"


def test_held_blocks_are_laid_out_anew_and_that_is_told(recording: Path) -> None:
    found = document(recording, "--settings", EXPANDABLE)
    assert found["held_before"] > 0
    scenario = found["what_if"][-1]
    assert scenario["settings"] == EXPANDABLE
    assert scenario["laid_out_anew"] == found["held_before"]
    assert "laid out anew" in answer(recording, "--settings", EXPANDABLE).stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--settings", "expandable:True"), "no allocator setting 'expandable'"),
        (("--settings", "max_split_size_mb:1"), "max_split_size_mb:1 must be at least 20"),
        (("--capacity", "plenty"), "'plenty' is not a size"),
        (("--capacity", "0"), "more than nothing"),
        (("--gpu", "h100-81gb"), "not in the catalogue"),
        (("--gpu", "h100-80gb", "--capacity", "1GiB"), "give one"),
        (("--device", "cuda:7"), "s.pickle has cuda:0"),
        (("--points", "-1"), "--points"),
    ],
)
def test_questions_without_a_meaning(
    options: tuple[str, ...], message: str, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = refusal(capsys, recording, *options)
    assert code == 2
    assert message in text


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.pickle", None, "x.pickle: no such file"),
        ("x.pickle", b"", "x.pickle: "),
        ("x.txt", b"hello\n", "x.txt: no readable pickle"),
        ("x.json", b'{"name": "left-pad"}', "not a memprof trace"),
        ("x.html", b"<html></html>", "without a memory snapshot"),
        ("x.pickle", b"cos\nsystem\n(S'touch trap'\ntR.", "asks for os.system"),
    ],
)
def test_files_that_are_nothing_to_replay(
    name: str,
    data: bytes | None,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if data is not None:
        Path(name).write_bytes(data)
    code, text = refusal(capsys, name)
    assert code == 1
    assert message in text
    assert not Path("trap").exists()


def test_a_recording_that_contradicts_itself_keeps_its_state(tmp_path: Path) -> None:
    """As when the recording was stopped some time before the snapshot was taken."""
    made = snapshot(recorded("", Rules(), seed=1))
    last = made["device_traces"][0][-1]
    last["addr"] = 4096
    (tmp_path / "s.pickle").write_bytes(pickled(made))
    found = document(tmp_path / "s.pickle")
    assert (found["exact"], found["mismatches"]) == (False, 1)
    (told,) = found["told"]
    assert told["event"] == len(made["device_traces"][0]) - 1
    assert told["recorded"] == f"{last['action']} of {last['size']:,} bytes at 0x1000"
    assert len(found["segments"]) == len(made["segments"])
    assert "Not exact: 1 difference" in answer(tmp_path / "s.pickle").stdout


def test_an_empty_snapshot_and_an_empty_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.pickle").write_bytes(pickled({"segments": [], "device_traces": [[]]}))
    TraceBuilder().write(tmp_path / "t.json")
    for name in ("s.pickle", "t.json"):
        code, text = refusal(capsys, tmp_path / name)
        assert code == 2
        assert "there is nothing to replay" in text


def test_torch_is_not_imported(recording: Path) -> None:
    code = (
        "import sys; from memprof.cli.main import main; main(['replay', 's.pickle', '--json']);"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    done = python("-c", code, cwd=recording.parent)
    assert (done.returncode, done.stderr) == (0, "")


@needs_snapshots
@pytest.mark.parametrize("file", snapshots(), ids=lambda file: file.name)
def test_recordings_of_real_gpus(file: Path) -> None:
    done = memprof("replay", file, "--json", cwd=file.parent)
    found = json.loads(done.stdout)
    assert (done.returncode, found["exact"], found["mismatches"]) == (0, True, 0)
    assert found["reserved_peak"] >= found["end"]["reserved"] > 0
    assert math.isclose(
        found["end"]["fragmentation"],
        found["end"]["fragmented"] / found["end"]["reserved"],
    )


def test_every_key_is_in_the_documentation(recording: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "replay.md").read_text("utf-8")
    found = document(recording, "--capacity", "1TiB")
    keys = {*found, *found["series"], *found["out_of_memory"], *found["what_if"][0]}
    assert {key for key in keys - {"schema", "source"} if f"`{key}`" not in page} == set()
