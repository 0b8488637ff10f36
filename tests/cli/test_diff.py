"""``memprof diff``, as somebody types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memprof.trace import CATEGORIES
from tests.cli.terminal import memprof
from tests.cli.traces import KIB, empty, training
from tests.trace_builder import TraceBuilder


def grown(path: Path) -> Path:
    """Activations 10 % larger than those of `training`."""
    build = TraceBuilder()
    build.alloc(8 * KIB, label="parameter", name="layers.0.weight", module="layers.0")
    with build.phase("forward"):
        size = 8 * KIB * 11 // 10
        kept = [
            build.alloc(size, op="aten::mm", module=f"layers.{layer}", stack="train.py:41 forward")
            for layer in range(3)
        ]
        for layer, allocation in enumerate(kept):
            build.label(allocation, "saved_for_backward", module=f"layers.{layer}")
    with build.phase("backward"):
        build.alloc(8 * KIB, op="aten::mm", label="gradient", name="layers.0.weight")
        build.free(*kept)
    return build.write(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    training(tmp_path / "a.json")
    grown(tmp_path / "b.json")
    return tmp_path


def test_text(folder: Path) -> None:
    answer = memprof("diff", "a.json", "b.json", cwd=folder)
    assert (answer.returncode, answer.stderr) == (0, "")
    lines = answer.stdout.splitlines()
    assert lines[0] == "a.json → b.json"
    assert lines[2] == "Peak on cpu 40.00 KiB → 42.40 KiB (+2.40 KiB, +6.0 %)"
    rows = [" ".join(line.split()) for line in lines]
    assert "activations 24.00 KiB 26.40 KiB +2.40 KiB +10.0" in rows
    assert "weights 8.00 KiB 8.00 KiB 0 B 0" in rows
    assert (
        "activations layers.* mm (3 alike) 24.00 KiB 26.40 KiB +2.40 KiB +10.0 train.py:41" in rows
    )
    assert lines[-1] == "Next: memprof report b.json"


def test_limit_exceeded(folder: Path) -> None:
    answer = memprof("diff", "a.json", "b.json", "--fail-on", "+8%", cwd=folder)
    assert answer.returncode == 3
    assert answer.stderr == (
        "memprof: activations grew from 24.00 KiB to 26.40 KiB on cpu (+2.40 KiB, +10.0 %), "
        "limit +8%\n"
    )
    within = ("--fail-on", "+10.1%", "--fail-on", "weights=+0%")
    answer = memprof("diff", "a.json", "b.json", *within, cwd=folder)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "Within the limits: +10.1%, weights=+0%" in answer.stdout


def test_json(folder: Path) -> None:
    answer = memprof("diff", "a.json", "b.json", "--json", "--fail-on", "+8%", cwd=folder)
    assert answer.returncode == 3
    document = json.loads(answer.stdout)
    assert document["before"]["source"] == "a.json"
    assert list(document["devices"]["cpu"]["categories"]) == list(CATEGORIES)
    (excess,) = document["exceeded"]
    assert (excess["what"], excess["before_bytes"]) == ("activations", 24 * KIB)


def test_markdown(folder: Path) -> None:
    words = ("diff", "a.json", "b.json", "--markdown", "--fail-on", "+8%", "-o", "comment.md")
    answer = memprof(*words, cwd=folder)
    assert answer.returncode == 3
    lines = (folder / "comment.md").read_text().splitlines()
    assert lines[0] == "### Memory"
    assert lines[2].startswith("- **Limit exceeded:** activations grew from 24.00 KiB to 26.40 KiB")
    assert "| activations | 24.00 KiB | 26.40 KiB | +2.40 KiB | +10.0 |" in lines
    assert "| **peak of all** | 40.00 KiB | 42.40 KiB | +2.40 KiB | +6.0 |" in lines
    row = (
        "| activations `layers.* mm` | 24.00 KiB | 26.40 KiB | +2.40 KiB | +10.0 | `train.py:41` |"
    )
    assert row in lines
    columns = {line.count("|") for line in lines if line.startswith("|")}
    assert columns == {6, 7}


def test_nothing_on_either_side(folder: Path) -> None:
    empty(folder / "c.json")
    answer = memprof("diff", "c.json", "c.json", cwd=folder)
    assert answer.returncode == 0
    assert "Neither trace has anything" in answer.stdout
    answer = memprof("diff", "c.json", "b.json", "--markdown", cwd=folder)
    assert "| weights | 0 B | 8.00 KiB | +8.00 KiB | – |" in answer.stdout


def test_a_trace_that_ends_early(folder: Path) -> None:
    training(folder / "c.json", complete=False)
    assert "c.json ends early" in memprof("diff", "a.json", "c.json", cwd=folder).stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("a.json", "absent.json"), 1, "absent.json: no such file"),
        (("a.json",), 2, "AFTER"),
        (("a.json", "b.json", "--fail-on", "lots"), 2, "'lots' is no limit: write it like '+5%'"),
        (("a.json", "b.json", "--json", "--markdown"), 2, "choose one of them"),
        (("a.json", "b.json", "-o", "a.json"), 1, "a.json: exists already"),
    ],
)
def test_bad_input(folder: Path, words: tuple[str, ...], code: int, message: str) -> None:
    answer = memprof("diff", *words, cwd=folder)
    assert answer.returncode == code
    assert answer.stdout == ""
    assert message in answer.stderr
    assert answer.stderr.count("\n") == 1
