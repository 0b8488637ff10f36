"""Each test records a process without what earlier tests left in reference cycles."""

import gc

import pytest


@pytest.fixture(autouse=True)
def _no_leftovers() -> None:
    gc.collect()
