"""Samples the host's memory: the resident set of this process."""

from __future__ import annotations

import os
from pathlib import Path

from memprof.record.journal import Journal, now_ns

_STATM = "/proc/self/statm"
_LONGEST = 256


class HostMemory:
    """Samples RSS where the system tells it without a helper (Linux)."""

    def __init__(self, journal: Journal) -> None:
        self._rows = journal.tables["samples"].add
        self._series = journal.strings.number("host/rss_bytes")
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._available = Path(_STATM).exists()

    def sample(self) -> None:
        """Notes the resident bytes of this moment."""
        if self._available:
            pages = int(_read(_STATM).split()[1])
            self._rows((now_ns(), self._series, pages * self._page))


def _read(path: str) -> bytes:
    """A short file, with as few steps as can be: the program waits at each for its interpreter."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, _LONGEST)
    finally:
        os.close(file)


def total_memory() -> int:
    """Bytes of memory in this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
