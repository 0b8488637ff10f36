"""Builds the interposer once and runs each group of programs once in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Outcomes = dict[str, dict[str, Any]]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def interposer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled counter of allocator blocks."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("counting allocator blocks needs a C compiler and Linux")
    library = tmp_path_factory.mktemp("interposer") / "interposer.so"
    source = Path(__file__).with_name("interposer.c")
    command = [compiler, "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", str(library)]
    subprocess.run([*command, str(source), "-ldl", "-lpthread"], check=True)
    return library


@pytest.fixture(scope="session")
def outcomes_of(interposer: Path) -> Callable[[str], Outcomes]:
    """Runs all programs of a module under `tests.oracle.programs`, once."""
    known: dict[str, Outcomes] = {}

    def run(group: str) -> Outcomes:
        if group not in known:
            known[group] = _run(interposer, group)
        return known[group]

    return run


def _run(interposer: Path, group: str) -> Outcomes:
    command = [sys.executable, "-W", "ignore", "-m", "tests.oracle.probe"]
    done = subprocess.run(
        [*command, str(interposer), f"tests.oracle.programs.{group}"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "LD_PRELOAD": str(interposer), "HF_HUB_OFFLINE": "1"},
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    outcomes: Outcomes = json.loads(done.stdout)
    return outcomes
