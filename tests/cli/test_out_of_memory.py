"""A program that runs out of memory: explained on stderr, and ended as it ends alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cli.terminal import memprof

PROGRAM = """
import torch

class Greedy(torch.nn.Module):
    def forward(self, x):
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of "
            "79.00 GiB of which 1.50 GiB is free."
        )

torch.nn.Sequential(torch.nn.Linear(256, 512), Greedy())(torch.ones(8, 256))
"""


def test_it_is_explained_and_ends_as_it_ends_alone(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(PROGRAM)
    alone = subprocess.run([sys.executable, "p.py"], cwd=tmp_path, capture_output=True, text=True)
    quiet = memprof("run", "--quiet", "-o", "q.json", "p.py", cwd=tmp_path)
    traced = memprof("run", "-o", "t.json", "p.py", cwd=tmp_path)
    assert alone.returncode == quiet.returncode == traced.returncode == 1
    last = alone.stderr.splitlines()[-1]
    assert quiet.stderr.splitlines()[-1] == last
    assert "memprof" not in quiet.stderr

    first, *lines = traced.stderr.splitlines()
    assert first.startswith("memprof: cpu ran out of memory at ")
    assert first.endswith(
        "step 0, forward of 1: asked for 2.00 GiB, 1.50 GiB of 79.00 GiB were free"
    )
    told, traceback = lines.index("Traceback (most recent call last):"), lines.index(last)
    assert "514.00 KiB weights" in [" ".join(line.split()) for line in lines[:told]]
    assert told < traceback
    assert traced.stderr.count("Next: ") == 1
    assert lines[-1] == "Next: memprof report t.json"
    report = memprof("report", "t.json", cwd=tmp_path).stdout
    assert first.removeprefix("memprof: ") in " ".join(report.split())
