"""The baseline file, and growth that ceilings, baseline and diff each find."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch

from memprof.pytest_plugin.baseline import figures_of, grown, read_baseline
from memprof.pytest_plugin.checks import Tolerance
from tests.pytest_plugin.conftest import KIB, Project

SOURCE = """
@pytest.mark.memory_ceiling("1 MiB", activations="105 KiB")
def test_model():
    kept = Exponential()(SIZE)

@pytest.mark.memory_ceiling("1 MiB")
def test_other():
    take(SIZE)

def test_plain():
    take(8)
"""


def source(size: int) -> str:
    return SOURCE.replace("SIZE", str(size))


def test_planted_growth_is_found_by_all_three(project: Project) -> None:
    baseline = ("--memprof-baseline", "memory.lock")
    written = project.run(source(100), *baseline, "--memprof-update-baseline")
    assert written.ret == 0
    text = (project.path / "memory.lock").read_text()
    document = json.loads(text)
    assert text == json.dumps(document, indent=2, sort_keys=True) + "\n"
    assert document == {
        "schema": 1,
        "environments": {
            f"cpu, torch {torch.__version__}": {
                "test_it.py::test_model": {
                    "cpu": {
                        "activations": 100 * KIB,
                        "peak": 100 * KIB + 8,
                        "temporary": 4,
                        "weights": 4,
                    }
                },
                "test_it.py::test_other": {"cpu": {"peak": 100 * KIB, "temporary": 100 * KIB}},
            }
        },
    }
    again = project.again(*baseline, "--memprof-update-baseline")
    assert again.ret == 0
    assert (project.path / "memory.lock").read_text() == text
    assert project.again(*baseline).ret == 0

    grown = project.run(source(110), *baseline, "--memprof-trace-dir", "grown")
    assert grown.parseoutcomes() == {"memory": 2, "passed": 1}
    grown.stdout.fnmatch_lines(
        [
            "activations peaked at 110.00 KiB on cpu, ceiling 105.00 KiB (+5.00 KiB); *",
            "activations peaked at 110.00 KiB on cpu, baseline 100.00 KiB (+10.00 KiB, +10.0%; "
            "tolerance 1 % or 512 B); nothing was held before the test",
            "    110.00 KiB  activations  Exponential exp  test_it.py:15",
        ]
    )
    fitting = ("--memprof-baseline", "memory.lock", "-o", "memprof_tolerance=11%")
    assert project.again(*fitting).parseoutcomes() == {"memory": 1, "passed": 2}
    absolute = ("--memprof-baseline", "memory.lock", "-o", "memprof_tolerance=1%, 11 KiB")
    assert project.again(*absolute).parseoutcomes() == {"memory": 1, "passed": 2}

    low = source(100).replace("105 KiB", "1 KiB")
    project.run(low, "-k", "model", "--memprof-trace-dir", "before")
    diff = [sys.executable, "-m", "memprof", "diff", *traces(project.path), "--fail-on", "+5%"]
    answer = subprocess.run(diff, capture_output=True, text=True)
    assert answer.returncode == 3
    assert "memprof: activations grew from 100.00 KiB to 110.00 KiB on cpu" in answer.stderr


def traces(folder: Path) -> list[str]:
    return [str(next((folder / name).glob("*test_model*.json"))) for name in ("before", "grown")]


def test_what_the_baseline_does_not_know(project: Project) -> None:
    (project.path / "memory.lock").write_text(
        '{"schema": 1, "environments": {"NVIDIA H200, torch 2.0": {"test_it.py::test_plain": '
        '{"cuda:0": {"peak": 1}}}}}'
    )
    result = project.run(source(100), "--memprof-baseline", "memory.lock")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            f"the baseline has nothing of it for cpu, torch {torch.__version__} (3 tests)",
            "add them with --memprof-update-baseline",
        ]
    )


def test_tests_that_fail_do_not_get_into_the_baseline(project: Project) -> None:
    options = ("--memprof-baseline", "new/memory.lock", "--memprof-update-baseline")
    project.run(source(110) + "\n\ndef test_wrong(memprof):\n    assert False", *options)
    tests = read_baseline(project.path / "new" / "memory.lock").tests
    assert tests == {"test_it.py::test_other"}


def test_tolerance() -> None:
    figures = figures_of({"peak_bytes": 1100, "category_peaks": {"weights": 500, "inputs": 20}})
    assert figures == {"peak": 1100, "weights": 500, "inputs": 20}
    known = {"peak": 1000, "weights": 500}
    assert grown(known, figures, Tolerance(percent=9.9)) == ["inputs", "peak"]
    assert grown(known, figures, Tolerance(percent=10, bytes=20)) == []
    assert grown(known, figures, Tolerance(bytes=19)) == ["inputs", "peak"]
    assert grown({"peak": 2000}, {"peak": 1}, Tolerance()) == []
