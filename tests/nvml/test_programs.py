"""Whole programs beside a driver: traced by the command, the library found as the real one is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from memprof.record.host import control_group
from memprof.trace import load
from tests.nvml.conftest import Recorded

SCENARIO = """
device GPU-a 80000000000 10000000000 500000000 NVIDIA-H100
process GPU-a self 7000000000
"""
PROGRAM = """
import os, time, torch
for _ in range(4):
    torch.ones(1000).sum().item()
    time.sleep(0.06)
child = os.fork()
if not child:
    print("child", torch.ones(3).sum().item(), flush=True)
    time.sleep(0.2)
    os._exit(0)
os.waitpid(child, 0)
print("parent", torch.ones(2).sum().item())
"""


def ran(folder: Path, scenario: str | None, library: Path) -> tuple[str, float]:
    """Traces the program; returns what it printed and how long it took."""
    (folder / "program.py").write_text(PROGRAM)
    environ = {**os.environ}
    if scenario is not None:
        (folder / "scenario").write_text(scenario)
        environ["FAKE_NVML_SCENARIO"] = str(folder / "scenario")
        environ["LD_LIBRARY_PATH"] = str(library.parent)
    command = [sys.executable, "-m", "memprof", "run", "--quiet", "-o", "t.json", "program.py"]
    begun = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout, time.monotonic() - begun


def told(verb: str, folder: Path, *options: str) -> str:
    command = [sys.executable, "-m", "memprof", verb, "t.json", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_a_program_that_forks(library: Path, tmp_path: Path) -> None:
    printed, _ = ran(tmp_path, SCENARIO, library)
    assert printed == "child 3.0\nparent 2.0\n"
    found = Recorded(load(tmp_path / "t.json"))
    assert len(found.values("GPU-a/used_bytes")) >= 4
    assert set(found.values("GPU-a/process_bytes")) == {7_000_000_000}
    assert not [code for code in found.remarks if code.startswith(("nvml", "error"))]

    device = json.loads(told("info", tmp_path, "--json"))["nvml"]["devices"][0]
    assert (device["uuid"], device["name"]) == ("GPU-a", "NVIDIA-H100")
    assert device["max_used_bytes"] == 10_000_000_000
    report = " ".join(told("report", tmp_path).split())
    assert "at most 9.31 GiB in use, 6.52 GiB by this process; SMs busy 90 %" in report


def test_a_driver_that_hangs_does_not_keep_the_program(library: Path, tmp_path: Path) -> None:
    hanging = SCENARIO + "hang nvmlDeviceGetMemoryInfo_v2 60000\n"
    printed, seconds = ran(tmp_path, hanging, library)
    assert printed == "child 3.0\nparent 2.0\n"
    assert seconds < 30
    assert "nvml.hang" in Recorded(load(tmp_path / "t.json")).remarks


def test_no_driver_is_one_line_of_the_report(library: Path, tmp_path: Path) -> None:
    ran(tmp_path, "error nvmlInitWithFlags 9\n", library)
    report = " ".join(told("report", tmp_path).split())
    assert "No NVML: Driver Not Loaded. Host memory was sampled instead: at most" in report
    assert "as its share of it (PSS)" in report
    found = load(tmp_path / "t.json")
    sampled = {text for text in found.strings if text.startswith("host/")}
    assert {"host/rss_bytes", "host/pss_bytes"} <= sampled


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/a/b\n", {"a/b/memory.max": "1000", "a/memory.max": "max"}, "a/b/memory"),
        ("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": "900"}, "a/memory"),
        ("0::/a/b\n", {"a/b/memory.max": "1000", "a/memory.max": "900"}, "a/memory"),
        ("0::/\n", {"memory.max": "max"}, None),
        ("0::/gone\n", {}, None),
        ("4:cpu:/\n3:memory:/c\n", {"memory/c/memory.limit_in_bytes": "10"}, "memory/c/memory"),
        ("3:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
    ],
)
def test_the_limit_of_the_control_group(
    tmp_path: Path, membership: str, files: dict[str, str], expected: str | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    found = control_group(membership, tmp_path)
    if expected is None:
        assert found == {}
    else:
        limit = found["cgroup_limit_bytes"]
        assert str(limit.relative_to(tmp_path)).rpartition(".")[0] == expected
        assert found["cgroup_used_bytes"].parent == limit.parent
