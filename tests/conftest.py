"""The allocator observer is built before any test, not while one reads a program's stderr."""

from __future__ import annotations

import contextlib

import pytest

from memprof.record.native import build

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True, scope="session")
def _observer_is_built() -> None:
    with contextlib.suppress(build.UnavailableError):
        build.load()
