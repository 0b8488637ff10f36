"""A traced program that dies without warning leaves a trace that can be read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import memprof

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60
STEPS = 3
LOOP = """
import sys
import torch
import memprof

torch.set_num_threads(1)
model = torch.nn.Linear(256, 256)
optimizer = torch.optim.AdamW(model.parameters())
with memprof.trace(sys.argv[1]):
    for turn in range(10**9):
        model(torch.randn(64, 256)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        memprof.step()
        print(turn, flush=True)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trace of a loop that was killed once part of it had reached the disk."""
    folder = tmp_path_factory.mktemp("killed")
    trace, script = folder / "killed.json", folder / "loop.py"
    script.write_text(LOOP)
    command = [sys.executable, str(script), str(trace)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"0\n"
        deadline = time.monotonic() + DEADLINE_S
        while len(memprof.load(trace).steps) < STEPS and time.monotonic() < deadline:
            assert program.stdout.readline()
        assert program.poll() is None
        program.kill()
        program.stdout.read()
    assert program.returncode == -signal.SIGKILL
    return trace


def test_the_trace_is_read_and_says_that_it_ends_early(killed: Path) -> None:
    trace = memprof.load(killed)
    assert not trace.complete
    assert len(trace.events) > 100
    assert len(trace.steps) >= STEPS
    live = memprof.api.compare(trace)
    assert {entry.category for entry in live} >= {"weights", "optimizer_state"}


def test_the_peak_is_that_of_the_loop(killed: Path) -> None:
    from memprof.analyze import analyze

    peak = analyze(memprof.load(killed)).device("cpu").peak
    weights = 4 * (256 * 256 + 256)
    assert peak.by_category["weights"] == weights
    assert peak.by_category["optimizer_state"] == 2 * weights + 2 * 4


def report(trace: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "memprof", "report", str(trace), *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)


def test_report_reads_it(killed: Path) -> None:
    done = report(killed)
    assert done.returncode == 0, done.stderr
    assert "weights" in done.stdout
    assert "early" in (done.stdout + done.stderr).lower()


@pytest.mark.parametrize("lost", [1, 7, 100])
def test_a_file_torn_in_the_middle_of_a_line_is_read_to_there(
    killed: Path, tmp_path: Path, lost: int
) -> None:
    torn = tmp_path / "torn.json"
    torn.write_bytes(killed.read_bytes()[:-lost])
    assert not memprof.load(torn).complete
    assert report(torn).returncode == 0
