"""Runs each program once, in two processes whose allocators are counted."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from memprof.analyze import Analysis, analyze
from memprof.trace import load
from tests.distributed.member import RECORDERS, Account
from tests.distributed.programs import GROUPS
from tests.oracle.conftest import ROOT, interposer, shared_folder
from tests.oracle.outcome import Claim

__all__ = ["interposer", "shared_folder"]

WORLD = 2
LIMIT_S = 100


@dataclass(frozen=True)
class Rank:
    """One process of a program: its trace, and its own account."""

    number: int
    analysis: Analysis
    account: Account


RanksOf = Callable[..., list[Rank]]


@pytest.fixture(params=RECORDERS)
def recorder(request: pytest.FixtureRequest) -> str:
    """Each recorder in turn."""
    return str(request.param)


@pytest.fixture
def ranks_of(all_ranks: RanksOf, recorder: str) -> RanksOf:
    """Gives the processes of a program as a recorder saw them."""
    return partial(all_ranks, recorder)


@pytest.fixture(scope="session")
def all_ranks(interposer: Path, shared_folder: Path) -> RanksOf:
    """Gives the processes by recorder and program; a group runs at the first question about it."""
    known: dict[str, list[Rank]] = {}

    def ranks(recorder: str, name: str) -> list[Rank]:
        program = f"{name}, {recorder}"
        group = next(group for group, programs in GROUPS.items() if name in programs)
        if program not in known:
            folder = shared_folder / group
            _run_once(group, folder, interposer)
            known[program] = [_read(folder / program, number) for number in range(WORLD)]
        return known[program]

    return ranks


def _run_once(group: str, folder: Path, library: Path) -> None:
    """Leaves the work to whichever worker process of the test run comes first."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = folder / "ended"
        if not ended.exists():
            ended.write_text(_run(group, folder, library))
        assert ended.read_text() == ""


def _run(group: str, folder: Path, library: Path) -> str:
    """Runs a group in its processes; returns what they said on stderr."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.distributed.member", group]
    processes = [
        subprocess.Popen(
            [*command, str(folder), str(library)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **environment(rank), "LD_PRELOAD": str(library)},
        )
        for rank in range(WORLD)
    ]
    try:
        told = [process.communicate(timeout=LIMIT_S)[1] for process in processes]
    except subprocess.TimeoutExpired:
        told = [f"{group} hangs"]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    failed = any(process.returncode for process in processes) and "a process failed"
    return "".join(text[-4000:] for text in told) or failed or ""


def environment(rank: int) -> dict[str, str]:
    return {"RANK": str(rank), "WORLD_SIZE": str(WORLD)}


def _read(folder: Path, number: int) -> Rank:
    value = json.loads((folder / f"account.rank{number}.json").read_text())
    claims = [Claim(**claim) for claim in value.pop("claims")]
    trace = load(folder / f"trace.rank{number}.json")
    return Rank(number, analyze(trace), Account(claims=claims, **value))
