"""Recordings from real GPUs, where there are any: the folder that MEMPROF_SNAPSHOTS names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_FOLDER = os.environ.get("MEMPROF_SNAPSHOTS", "")

needs_snapshots = pytest.mark.skipif(
    not _FOLDER, reason="MEMPROF_SNAPSHOTS names no folder of recorded memory snapshots"
)


def snapshots(*endings: str) -> list[Path]:
    """Gives the recordings in the folder, by name."""
    found = Path(_FOLDER).iterdir() if _FOLDER else ()
    return sorted(path for path in found if path.suffix in (endings or (".pickle", ".html")))
