"""The benchmark runs, and recording stays far below what it is compared with."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_has_every_variant_and_recording_is_far_cheaper_than_memtracker() -> None:
    command = [sys.executable, "benchmarks/overhead.py", "--rounds", "2", "--steps", "5"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=True
    )
    rows = dict(re.findall(r"^(\D+?) +\d+ +([\d.]+) +[\d.]+ +[\d.]+$", done.stdout, re.MULTILINE))
    assert rows.keys() == {
        "untraced",
        "empty dispatch mode",
        "memprof, dispatch hook",
        "torch.profiler, memory",
        "PyTorch's MemTracker",
    }
    assert 0 < float(rows["memprof, dispatch hook"]) < 0.2 * float(rows["PyTorch's MemTracker"])
