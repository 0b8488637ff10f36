"""Small projects of tests, run by a pytest of their own in this process."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch  # noqa: F401  kept from being imported inside, and forgotten again by, a test

import memprof.analyze
import memprof.pytest_plugin.measuring
import memprof.pytest_plugin.reports
import memprof.record.session  # noqa: F401

KIB = 1 << 10
HEAD = """
import pytest
import torch

KIB = 1 << 10

def take(kib):
    return torch.zeros(kib * KIB, dtype=torch.uint8)

class Exponential(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, kib):
        return self.weight.expand(kib * KIB // 4).exp().sum()
"""


class Project:
    """A folder with tests, and a way to run them.

    Attributes:
        path: the folder.
        result: of the latest run.
    """

    def __init__(self, pytester: pytest.Pytester) -> None:
        self._pytester = pytester
        self.path: Path = pytester.path

    def run(self, source: str, *arguments: str) -> pytest.RunResult:
        """Writes the tests under a common head, and runs them."""
        self._pytester.makepyfile(test_it=HEAD + source)
        return self.again(*arguments)

    def again(self, *arguments: str) -> pytest.RunResult:
        """Runs them once more."""
        plugins = ("-p", "no:dash", "-p", "no:asyncio", "-p", "no:rerunfailures")
        return self._pytester.runpytest_inprocess(*plugins, "-p", "no:randomly", *arguments)

    def results(self, source: str, *arguments: str) -> dict[str, Any]:
        """Writes the tests, runs them, and returns the JSON's entries by the test's own name."""
        self.run(source, "--memprof-json", "memory.json", *arguments)
        document = json.loads((self.path / "memory.json").read_text())
        return {each["test"].partition("::")[2]: each for each in document["tests"]}


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """An empty project; the garbage collector need not look at what this process has so far."""
    monkeypatch.delenv("MEMPROF", raising=False)
    gc.collect()
    gc.freeze()
    yield Project(pytester)
    gc.unfreeze()


Sentences = Callable[[dict[str, Any]], list[str]]


def sentences(result: dict[str, Any]) -> list[str]:
    """What was said of a test."""
    return [verdict["sentence"] for verdict in result["verdicts"]]


def passed(result: dict[str, Any]) -> list[bool]:
    """Whether it passed each of its checks."""
    return [verdict["passed"] for verdict in result["verdicts"]]
