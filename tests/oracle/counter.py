"""The interposer as seen from the process that it was loaded into."""

from __future__ import annotations

import ctypes
from pathlib import Path


class Counter:
    """Bytes in blocks of PyTorch's CPU allocator, counted below PyTorch.

    The library must have been preloaded into this process (LD_PRELOAD), else all counts are 0.
    """

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        for name in ("interposer_live", "interposer_peak"):
            getattr(self._library, name).restype = ctypes.c_size_t

    def live(self) -> int:
        return int(self._library.interposer_live())

    def peak(self) -> int:
        """The highest `live()` since the latest `reset_peak()`."""
        return int(self._library.interposer_peak())

    def reset_peak(self) -> None:
        self._library.interposer_reset_peak()
