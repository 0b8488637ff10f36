"""No program runs in these tests, so that nothing need be cleared away before each of them."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _alone() -> None:
    """In place of the room's own fixture, which collects garbage."""
