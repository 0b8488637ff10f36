"""Builds the interposer once and runs each group of programs once, in a process of its own."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.oracle.outcome import Outcome

ROOT = Path(__file__).parents[2]
LIMIT_S = 240
RECORDERS = ("native", "dispatch")
OutcomeOf = Callable[[str, str], Outcome]
OutcomeUnder = Callable[[str, str, str], Outcome]


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all worker processes of this test run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "oracle"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def interposer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled counter of allocator blocks."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("counting the allocator's blocks needs a C compiler and Linux")
    library = tmp_path_factory.mktemp("interposer") / "interposer.so"
    source = Path(__file__).with_name("interposer.c")
    command = [compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", str(library), str(source), "-ldl", "-lpthread"], check=True)
    return library


@pytest.fixture(scope="session", params=RECORDERS)
def recorder(request: pytest.FixtureRequest) -> str:
    """How the programs are recorded: every test runs once for each recorder."""
    return str(request.param)


@pytest.fixture(scope="session")
def outcome_under(interposer: Path, shared_folder: Path) -> OutcomeUnder:
    """Gives the outcome of a program; all programs of its group run at once, the first time."""
    known: dict[tuple[str, str], dict[str, Outcome]] = {}

    def outcome(recorder: str, group: str, program: str) -> Outcome:
        if (recorder, group) not in known:
            known[recorder, group] = _read_or_run(interposer, shared_folder, recorder, group)
        found = known[recorder, group][program]
        if found.skipped:
            pytest.skip(found.skipped)
        assert not found.error, found.error
        return found

    return outcome


@pytest.fixture(scope="session")
def outcome_of(outcome_under: OutcomeUnder, recorder: str) -> OutcomeOf:
    """The same for the test's own recorder."""
    return partial(outcome_under, recorder)


def _read_or_run(interposer: Path, folder: Path, recorder: str, group: str) -> dict[str, Outcome]:
    """Leaves the work to whichever worker process comes first."""
    results = folder / f"{recorder}-{group}.json"
    with results.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not results.exists():
            _run(interposer, recorder, group, results)
    values = json.loads(results.read_text())
    return {name: Outcome.from_json(value) for name, value in values.items()}


def _run(interposer: Path, recorder: str, group: str, results: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.oracle.probe"]
    done = subprocess.run(
        [*command, str(interposer), recorder, group, str(results)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "LD_PRELOAD": str(interposer), "HF_HUB_OFFLINE": "1"},
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr[-4000:]
