"""Phases as NVTX ranges in the domain `memprof`; nothing where the nvtx package is absent."""

from __future__ import annotations

from typing import Any


class NvtxRanges:
    """Starts and ends ranges that Nsight Systems shows beside its own rows."""

    def __init__(self) -> None:
        self._domain: Any = None
        try:
            import nvtx
        except ImportError:
            return
        self._domain = nvtx.get_domain("memprof")

    def start(self, name: str) -> object:
        """Starts a range; returns what `end` needs."""
        if self._domain is None:
            return None
        attributes = self._domain.get_event_attributes(message=name, category="phase")
        return self._domain.start_range(attributes)

    def end(self, started: object) -> None:
        """Ends a range that `start` began."""
        if self._domain is not None and started is not None:
            self._domain.end_range(started)
