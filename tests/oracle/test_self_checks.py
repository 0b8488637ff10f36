"""Under the observer every program allocates what it allocates without: the self-check says so."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.oracle.conftest import LIMIT_S, ROOT
from tests.oracle.outcome import Program
from tests.oracle.programs import every_program

#: Programs of which the self-check itself says that it cannot judge them, and in which words.
NOT_JUDGED = {
    "torch.profiler inside": "another profiler runs",
    "torch.profiler outside": "another profiler runs",
}
#: Its batches come when the worker processes have them, so that no two steps are alike.
UNSTEADY = ("GPT fed by worker processes",)


@pytest.fixture(scope="session")
def self_check_of(shared_folder: Path) -> Callable[[str, str], dict[str, Any]]:
    """Gives a program's self-check; all programs of its group run at once, the first time."""

    @cache
    def checks(group: str) -> dict[str, Any]:
        results = shared_folder / f"self-check-{group}.json"
        with results.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not results.exists():
                _run(group, results)
        found: dict[str, Any] = json.loads(results.read_text())
        return found

    return lambda group, name: checks(group)[name]


def _run(group: str, results: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.oracle.self_checks", group, str(results)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr[-4000:]


@every_program
def test_recording_adds_nothing(
    self_check_of: Callable[[str, str], dict[str, Any]], group: str, name: str, program: Program
) -> None:
    found = self_check_of(group, name)
    if "skipped" in found:
        pytest.skip(found["skipped"])
    if name in NOT_JUDGED:
        assert NOT_JUDGED[name] in found["reason"]
        return
    assert not found["reason"]
    cpu = found["devices"]["cpu"]
    if name not in UNSTEADY:
        assert cpu["verdict"] == "equal"
    assert cpu["added_bytes"] == cpu["added_allocations"] == 0
