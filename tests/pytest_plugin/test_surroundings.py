"""Other ways to run tests: unittest, asyncio, reruns, xdist, processes that a test starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.cli.terminal import ROOT
from tests.pytest_plugin.conftest import HEAD, KIB, Project, sentences

ELSEWHERE = """
import asyncio
import multiprocessing
import unittest

@pytest.mark.memory_ceiling("10 KiB")
class TestUnit(unittest.TestCase):
    def test_too_much(self):
        take(20)

    @pytest.mark.memory_ceiling("20 KiB")
    def test_fits(self):
        take(20)

    def test_wrong(self):
        take(20)
        self.assertEqual(1, 2)

    def test_skipped(self):
        self.skipTest("not today")

@pytest.mark.asyncio
@pytest.mark.memory_ceiling("10 KiB")
async def test_async():
    await asyncio.sleep(0)
    take(20)

tries = []

@pytest.mark.flaky(reruns=1)
@pytest.mark.memory_ceiling("10 KiB")
def test_again():
    tries.append(1)
    take(20 // len(tries))

def child(kib, barrier):
    kept = take(kib)
    barrier.wait(60)

@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.memory_ceiling("100 KiB")
def test_children(method):
    context = multiprocessing.get_context(method)
    barrier = context.Barrier(2)
    children = [context.Process(target=child, args=(60, barrier)) for _ in range(2)]
    for process in children:
        process.start()
    for process in children:
        process.join()
    assert [process.exitcode for process in children] == [0, 0]
"""
#: What becomes of each test: its outcome, and whether it is by its memory.
OUTCOMES = {
    "TestUnit::test_too_much": ("failed", True),
    "TestUnit::test_fits": ("passed", False),
    "TestUnit::test_wrong": ("failed", False),
    "TestUnit::test_skipped": ("skipped", False),
    "test_async": ("failed", True),
    "test_again": ("passed", False),
}


def run_apart(project: Project, *arguments: str) -> tuple[str, dict[str, Any]]:
    """Runs the tests in a process of their own; returns the output and the JSON's entries."""
    (project.path / "test_it.py").write_text((HEAD + ELSEWHERE).lstrip())
    (project.path / "pytest.ini").write_text(
        "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:dash", "--memprof-json", "m.json"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    answer = subprocess.run(
        [*command, *arguments],
        cwd=project.path,
        env={**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert answer.returncode == pytest.ExitCode.TESTS_FAILED, answer.stdout + answer.stderr
    document = json.loads((project.path / "m.json").read_text())
    return answer.stdout, {each["test"].partition("::")[2]: each for each in document["tests"]}


def outcomes(found: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    return {name: (found[name]["outcome"], found[name]["exceeded"]) for name in OUTCOMES}


def test_everything_else_at_once(project: Project) -> None:
    printed, found = run_apart(project, "-n", "1", "-v", "--memprof")
    assert outcomes(found) == OUTCOMES
    assert "RERUN test_it.py::test_again" in printed
    assert "PASSED test_it.py::test_again" in printed
    assert "MEMORY test_it.py::test_async" in printed
    assert sentences(found["TestUnit::test_wrong"])[0].startswith("memory peaked at 20.00 KiB")
    for method in ("spawn", "fork"):
        (verdict,) = found[f"test_children[{method}]"]["verdicts"]
        assert verdict["measured_bytes"] == 120 * KIB
        line = "60.00 KiB  temporary  zeros  test_it.py:7  process "
        assert all(each.startswith(line) for each in verdict["largest"][:2])
        assert len({each.removeprefix(line) for each in verdict["largest"]}) == 2
    assert "= MEMORY =" in printed
    assert "memory peaked at 20.00 KiB on cpu, ceiling 10.00 KiB (+10.00 KiB)" in printed
    assert "= memory of the tests =" in printed
    assert "4 memory" in printed


def test_traces_of_processes_started_otherwise(project: Project) -> None:
    found = project.results("""
import memprof as package
import subprocess, sys

@pytest.mark.memory_ceiling("100 KiB")
def test_joined(memprof, tmp_path):
    program = tmp_path / "train.py"
    program.write_text("import torch\\nkept = torch.zeros(120 << 10, dtype=torch.uint8)\\n")
    command = [sys.executable, "-m", "memprof", "run", "-q", "-o", tmp_path / "t.json", program]
    subprocess.run(command, check=True)
    memprof.join(tmp_path / "t.json")
    assert memprof.step is package.step
""")
    (verdict,) = found["test_joined"]["verdicts"]
    assert verdict["measured_bytes"] == 120 * KIB
    assert not verdict["passed"]
