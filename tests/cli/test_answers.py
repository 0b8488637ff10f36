"""The verbs that answer questions, on good input."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

import memprof as package
from memprof.trace import CATEGORIES
from tests.cli.terminal import memprof
from tests.cli.traces import KIB, empty, graphics_card, training


def test_report_names_the_peak(tmp_path: Path) -> None:
    training(tmp_path / "t.json")
    answer = memprof("report", "t.json", cwd=tmp_path)
    assert answer.returncode == 0
    assert answer.stderr == ""
    lines = answer.stdout.splitlines()
    assert lines[0] == "train.py · 1 step · cpu host memory · torch 2.13.0+cpu · dispatch recorder"
    assert lines[2].startswith("Peak 40.00 KiB at 0.000 s · step 0 · backward")
    assert lines[-1] == "Next: memprof view t.json"


def test_report_lists_categories_and_alike_tensors(tmp_path: Path) -> None:
    training(tmp_path / "t.json")
    rows = [line.split() for line in memprof("report", "t.json", cwd=tmp_path).stdout.splitlines()]
    measured = {row[0]: " ".join(row[1:3]) for row in rows if row and row[0] in CATEGORIES}
    assert measured["weights"] == "8.00 KiB"
    assert measured["gradients"] == "8.00 KiB"
    assert measured["activations"] == "24.00 KiB"
    assert measured["unattributed"].startswith("0 B")
    assert "kv_cache" not in measured
    alike = next(row for row in rows if row[:3] == ["24.00", "KiB", "activations"])
    assert alike[3:] == ["layers.*", "mm", "(3", "alike)", "float32[2,", "1024]", "train.py:41"]


def test_report_as_json(tmp_path: Path) -> None:
    training(tmp_path / "t.json")
    document = json.loads(memprof("report", "t.json", "--json", cwd=tmp_path).stdout)
    peak = document["devices"]["cpu"]["peak"]
    assert peak["requested_bytes"] == 40 * KIB
    assert list(peak["by_category"]) == list(CATEGORIES)
    assert sum(peak["by_category"].values()) == 40 * KIB
    assert document["devices"]["cpu"]["end"]["requested_bytes"] == 16 * KIB
    assert document["complete"] is True


def test_trace_that_ends_early(tmp_path: Path) -> None:
    training(tmp_path / "t.json", complete=False)
    for verb in ("report", "compare", "info"):
        answer = memprof(verb, "t.json", cwd=tmp_path)
        assert answer.returncode == 0
        assert "early" in answer.stdout
    document = json.loads(memprof("report", "t.json", "--json", cwd=tmp_path).stdout)
    assert document["complete"] is False


@pytest.mark.parametrize("verb", ["report", "compare", "info"])
def test_trace_without_events(verb: str, tmp_path: Path) -> None:
    empty(tmp_path / "t.json")
    answer = memprof(verb, "t.json", cwd=tmp_path)
    assert answer.returncode == 0
    assert ("othing was recorded" in answer.stdout) == (verb != "info")
    assert memprof(verb, "t.json", "--json", cwd=tmp_path).returncode == 0


def test_levels_of_a_card(tmp_path: Path) -> None:
    graphics_card(tmp_path / "t.json")
    answer = memprof("report", "t.json", cwd=tmp_path)
    assert (
        "From tensors to nvidia-smi 8.00 KiB requested by tensors "
        "+1.00 KiB rounding up to blocks of 512 B 9.00 KiB allocated "
        "+3.00 KiB cached, free for reuse 12.00 KiB reserved "
        "+8.00 KiB CUDA context and kernels, as at the first sample 20.00 KiB this process "
        "+30.00 KiB not explained 50.00 KiB device of 100.00 KiB"
    ) in " ".join(answer.stdout.split())


def test_info_counts(tmp_path: Path) -> None:
    graphics_card(tmp_path / "t.json")
    document = json.loads(memprof("info", "t.json", "--json", cwd=tmp_path).stdout)
    assert document["counts"]["allocations"] == 1
    assert document["counts"]["samples"] == 4
    assert document["nvml"]["devices"] == [
        {
            "uuid": "GPU-1",
            "name": "NVIDIA H200",
            "device": "cuda:0",
            "samples": 1,
            "max_used_bytes": 50 * KIB,
            "max_process_bytes": 20 * KIB,
            "process_bytes_are": "listed",
            "readings": {},
        }
    ]
    text = memprof("info", "t.json", cwd=tmp_path).stdout
    assert "NVIDIA H200 (cuda:0): 1 sample, at most 50.00 KiB in use" in text


def test_compressed_trace(tmp_path: Path) -> None:
    plain = training(tmp_path / "t.json")
    (tmp_path / "t.json.gz").write_bytes(gzip.compress(plain.read_bytes()))
    answers = [memprof("report", name, "--json", cwd=tmp_path) for name in ("t.json", "t.json.gz")]
    peaks = [json.loads(answer.stdout)["devices"] for answer in answers]
    assert peaks[0] == peaks[1]


def test_answer_written_to_a_file(tmp_path: Path) -> None:
    training(tmp_path / "t.json")
    printed = memprof("report", "t.json", "--quiet", cwd=tmp_path)
    written = memprof("report", "t.json", "--quiet", "-o", "r.txt", cwd=tmp_path)
    assert (written.stdout, written.stderr) == ("", "")
    assert (tmp_path / "r.txt").read_text() == printed.stdout
    told = memprof("report", "t.json", "-o", "s.txt", cwd=tmp_path)
    assert told.stderr == "memprof: wrote s.txt\n"


def test_quiet_leaves_out_the_next_command(tmp_path: Path) -> None:
    training(tmp_path / "t.json")
    for verb in ("report", "compare", "info"):
        assert "Next:" in memprof(verb, "t.json", cwd=tmp_path).stdout
        assert "Next:" not in memprof(verb, "t.json", "-q", cwd=tmp_path).stdout


def test_detail_lists_steps_and_modules(tmp_path: Path) -> None:
    training(tmp_path / "t.json")
    brief = memprof("report", "t.json", cwd=tmp_path).stdout
    detailed = memprof("report", "t.json", "--detail", cwd=tmp_path).stdout
    assert "Modules at the peak" not in brief
    assert "Modules at the peak" in detailed
    assert "layers.1" in detailed


def test_colour_only_where_asked_for(tmp_path: Path) -> None:
    training(tmp_path / "t.json")
    words = ("report", "t.json")
    assert "\x1b[" not in memprof(*words, cwd=tmp_path).stdout
    assert "\x1b[" in memprof(*words, "--color", "always", cwd=tmp_path, NO_COLOR="1").stdout
    (tmp_path / "pyproject.toml").write_text('[tool.memprof]\ncolor = "always"\n')
    assert "\x1b[" in memprof(*words, cwd=tmp_path).stdout
    assert "\x1b[" not in memprof(*words, "--color", "never", cwd=tmp_path).stdout


def test_no_words_at_all(tmp_path: Path) -> None:
    answer = memprof(cwd=tmp_path)
    assert answer.returncode == 2
    assert "memprof run train.py" in answer.stderr


@pytest.mark.parametrize("verb", ["run", "report", "compare", "diff", "info", "view"])
def test_help(verb: str, tmp_path: Path) -> None:
    overview = memprof("--help", cwd=tmp_path)
    assert overview.returncode == 0
    assert f"\n  {verb} " in overview.stdout
    of_verb = memprof(verb, "--help", cwd=tmp_path)
    assert of_verb.returncode == 0
    assert f"Usage: memprof {verb}" in of_verb.stdout


def test_version(tmp_path: Path) -> None:
    assert memprof("--version", cwd=tmp_path).stdout == f"memprof {package.__version__}\n"
