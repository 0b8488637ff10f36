"""The observer is built once, however many processes ask for it at the same time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from memprof.record.native import build
from tests.cli.terminal import environment

SLOW_COMPILER = """#!/bin/sh
echo built >> {folder}/builds
sleep 2
for result; do :; done
cp {library} "$result"
"""
LOADS = "from memprof.record.native import build; build.load().enroll(); print('observes')"


def test_two_processes_at_once_build_once(tmp_path: Path) -> None:
    compiler = tmp_path / "c++"
    compiler.write_text(SLOW_COMPILER.format(folder=tmp_path, library=build.build()))
    compiler.chmod(0o700)
    settings = environment(CXX=str(compiler), MEMPROF_CACHE=str(tmp_path / "cache"))
    command = [sys.executable, "-c", LOADS]
    processes = [
        subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]
    assert [process.communicate(timeout=60)[0] for process in processes] == [b"observes\n"] * 2
    assert (tmp_path / "builds").read_text() == "built\n"
    assert len(list((tmp_path / "cache").glob("*.so"))) == 1
