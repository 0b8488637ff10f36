"""The allocator observer is built before any test, not while one reads a program's stderr."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

import pytest

from memprof.record.native import build

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True, scope="session")
def _observer_is_built() -> None:
    with contextlib.suppress(build.UnavailableError):
        build.load()


@pytest.fixture
def alone() -> Iterator[None]:
    """Hides what earlier tests left from a recording's search for what was there before."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
