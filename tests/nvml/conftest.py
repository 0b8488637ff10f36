"""The fake NVML library, compiled once, and samplers that ask it through the real pynvml."""

from __future__ import annotations

import ctypes
import io
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pynvml
import pytest

from memprof.analyze.samples import series
from memprof.record.guard import Guard
from memprof.record.host import HostMemory
from memprof.record.journal import Journal
from memprof.record.nvml.sampler import Sampler
from memprof.trace import Trace, read
from tests.trace_builder import default_header

GPU = "device GPU-a 80000 1000 300 H100\n"


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("the fake NVML library needs a C compiler")
    built = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1"
    soname = "-Wl,-soname,libnvidia-ml.so.1"
    source = Path(__file__).with_name("fake_nvml.c")
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", soname]
    subprocess.run([*command, "-o", str(built), str(source)], check=True)
    return built


class Machine:
    """A machine whose driver answers what the scenario says at that time."""

    def __init__(self, scenario: Path) -> None:
        self._scenario = scenario
        self.cuda: Sequence[str] | None = None
        self.journal = Journal(io.BytesIO(), default_header())
        guard = Guard(self.journal)
        host = HostMemory(self.journal)
        self.sampler = Sampler(self.journal, guard.note, host.sample_slowly, lambda: self.cuda)

    def says(self, text: str) -> None:
        new = self._scenario.with_suffix(".new")
        new.write_text(text)
        new.replace(self._scenario)

    def runs(self, turns: int = 3) -> None:
        """Waits until the sampler has sampled so many more times."""
        wanted, deadline = self.sampler.turns + turns, time.monotonic() + 20
        while self.sampler.turns < wanted:
            assert time.monotonic() < deadline, "the sampler stands still"
            time.sleep(0.01)

    def trace(self) -> Recorded:
        self.sampler.stop()
        sink = self.journal._sink
        self.journal.close({})
        assert isinstance(sink, io.BytesIO)
        sink.seek(0)
        return Recorded(read(sink))


class Recorded:
    """What the samples of a machine became."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.remarks = {remark.code: remark.count for remark in trace.warnings}

    def values(self, name: str) -> list[int]:
        return series(self.trace, f"nvml/{name}").value.tolist()

    def last(self, name: str) -> int | None:
        return next(iter(self.values(name)[-1:]), None)

    @property
    def sampled(self) -> set[str]:
        """UUIDs of the devices that were sampled."""
        parts = [text.split("/") for text in self.trace.strings if text.startswith("nvml/")]
        return {uuid for _, uuid, _ in parts}

    def fact(self) -> dict[str, Any]:
        return dict(self.trace.facts_of("nvml")[-1])


@pytest.fixture
def machine(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Machine]:
    scenario = tmp_path / "scenario"
    monkeypatch.setenv("FAKE_NVML_SCENARIO", str(scenario))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(library)))
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})

    def made(text: str) -> Machine:
        machine = Machine(scenario)
        machine.says(text)
        return machine

    return made
