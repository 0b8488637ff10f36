"""Estimates speak of tensors, which the dispatch hook sees alone; the allocator sees more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="package")
def tensors_alone() -> Iterator[None]:
    """Records what these tests trace with the dispatch hook."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMPROF_RECORDER", "dispatch")
        yield
