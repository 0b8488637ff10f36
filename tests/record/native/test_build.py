"""The observer is built once, whatever happens to its builder, and stands in no program's way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import memprof
from memprof.record.native import build
from tests.cli.terminal import environment, python

LOADS = "from memprof.record.native import build; build.load().enroll(); print('observes')"
PROGRAM = """
import torch
import memprof

with memprof.trace("trace.json", force=True):
    total = torch.nn.Linear(64, 64)(torch.ones(8, 64)).sum().backward()
print("done")
raise SystemExit(3)
"""
COPIES = """#!/bin/sh
echo built >> {folder}/builds
sleep {seconds}
for result; do :; done
cp {library} "$result"
"""
FAILS = """#!/bin/sh
echo tried >> {folder}/builds
echo "native.cpp:1:1: error: out of order" >&2
exit 1
"""


class Machine:
    """A compiler of ours, which counts how often it is called, and a cache of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cache = folder, folder / "cache"
        self.compiler = folder / "c++"
        self.settings = {"CXX": str(self.compiler), "MEMPROF_CACHE": str(self.cache)}

    def compiles(self, text: str, seconds: int = 0) -> None:
        """Decides what the compiler does from now on."""
        library = build.build()
        self.compiler.write_text(text.format(folder=self.folder, library=library, seconds=seconds))
        self.compiler.chmod(0o700)

    def builds(self) -> int:
        """How often the compiler was called."""
        record = self.folder / "builds"
        return len(record.read_text().splitlines()) if record.exists() else 0

    def begin(self) -> subprocess.Popen[bytes]:
        """Begins a process that loads the observer."""
        return subprocess.Popen(
            [sys.executable, "-c", LOADS],
            env=environment(**self.settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def loads(self) -> str:
        """What a process prints that loads the observer."""
        return self.begin().communicate(timeout=60)[0].decode()

    def records(self) -> subprocess.CompletedProcess[str]:
        """Runs a program that records itself."""
        return python("-c", PROGRAM, cwd=self.folder, **self.settings)


@pytest.fixture(autouse=True)
def recorder() -> None:
    """The programs here choose their own."""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    found = Machine(tmp_path)
    found.compiles(COPIES)
    return found


def test_several_processes_at_once_build_once(machine: Machine) -> None:
    machine.compiles(COPIES, seconds=2)
    processes = [machine.begin() for _ in range(4)]

    assert [each.communicate(timeout=120)[0] for each in processes] == [b"observes\n"] * 4
    assert machine.builds() == 1
    assert len(list(machine.cache.glob("*.so"))) == 1


def test_what_is_built_needs_no_compiler_any_more(machine: Machine) -> None:
    assert machine.loads() == "observes\n"
    machine.compiler.unlink()

    assert machine.loads() == "observes\n"
    assert machine.builds() == 1


@pytest.mark.parametrize("changed", ["torch", "python", "source"])
def test_each_torch_python_and_source_has_an_observer_of_its_own(
    changed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = build.cached_path()
    if changed == "torch":
        monkeypatch.setattr(torch, "__version__", "9.9.9")
    elif changed == "python":
        monkeypatch.setattr(sys, "version", f"{sys.version} of another build")
    else:
        other = tmp_path / "more.h"
        other.write_text("// more")
        monkeypatch.setattr(build, "_SOURCES", (*build._SOURCES, other))

    assert build.cached_path() != before
    monkeypatch.undo()
    assert build.cached_path() == before


def test_without_a_compiler_the_program_runs_the_same_and_one_line_says_so(
    machine: Machine,
) -> None:
    machine.compiler.unlink()
    done = machine.records()

    assert (done.returncode, done.stdout) == (3, "done\n")
    (line,) = [line for line in done.stderr.splitlines() if "dispatch hook" in line]
    assert f"no C++ compiler: looked for {machine.compiler}" in line
    assert memprof.load(machine.folder / "trace.json").header["recorder"] == "dispatch"


def test_a_compiler_that_failed_is_not_asked_again_but_another_one_is(machine: Machine) -> None:
    machine.compiles(FAILS)
    first, second = machine.records(), machine.records()

    for done in (first, second):
        assert (done.returncode, done.stdout) == (3, "done\n")
        assert f"{machine.compiler} failed: native.cpp:1:1: error: out of order" in done.stderr
    assert "memprof doctor tries again" in second.stderr
    assert machine.builds() == 1

    machine.compiler = machine.folder / "clang++"
    machine.settings["CXX"] = str(machine.compiler)
    machine.compiles(COPIES)
    assert machine.loads() == "observes\n"


def test_an_unwritable_cache_is_named(machine: Machine) -> None:
    machine.cache.touch()
    done = machine.records()

    assert (done.returncode, done.stdout) == (3, "done\n")
    assert f"{machine.cache} cannot be written" in done.stderr
    assert "MEMPROF_CACHE names another folder" in done.stderr


@pytest.mark.parametrize("kept", [0, 40, 5000, -1])
def test_a_damaged_observer_is_built_again(machine: Machine, kept: int) -> None:
    """To load a library of which the end is missing would kill the process."""
    machine.loads()
    (library,) = machine.cache.glob("*.so")
    library.write_bytes(library.read_bytes()[:kept])

    assert machine.loads() == "observes\n"
    assert machine.builds() == 2


def test_a_builder_that_is_killed_blocks_nobody_and_leaves_nothing(machine: Machine) -> None:
    machine.compiles(COPIES, seconds=60)
    killed = machine.begin()
    while not machine.builds():
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()

    machine.compiles(COPIES)
    assert machine.loads() == "observes\n"
    assert machine.builds() == 2
    assert sorted(path.suffix for path in machine.cache.iterdir()) == [".lock", ".so"]


def test_a_build_again_that_fails_keeps_the_observer(machine: Machine) -> None:
    machine.loads()
    machine.compiles(FAILS)
    again = "from memprof.record.native import build; build.build(again=True)"
    done = python("-c", again, cwd=machine.folder, **machine.settings)

    assert "UnavailableError" in done.stderr
    assert machine.loads() == "observes\n"
