"""Phases, steps and modules as NVTX ranges, samples as NVTX counters, in the domain `memprof`.

Nsight Systems shows them beside its own rows, under the names that the trace has. Where no tool
listens nothing is done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

import torch

DOMAIN = "memprof"


class _Marks(Protocol):
    """What makes ranges; starting one gives what ends it."""

    def start(self, name: str, category: str, payload: int) -> object: ...

    def end(self, started: Any) -> None: ...

    def push(self, name: str, category: str, payload: int) -> None: ...

    def pop(self) -> None: ...

    def count(self, series: str, value: int) -> None: ...


class _InDomain:
    """Through the package nvtx: with a domain, categories, payloads and counters."""

    def __init__(self, domain: Any) -> None:
        self._domain = domain
        self._counters: dict[str, Any] = {}

    def start(self, name: str, category: str, payload: int) -> object:
        return self._domain.start_range(self._attributes(name, category, payload))

    def end(self, started: Any) -> None:
        self._domain.end_range(started)

    def push(self, name: str, category: str, payload: int) -> None:
        self._domain.push_range(self._attributes(name, category, payload))

    def pop(self) -> None:
        self._domain.pop_range()

    def count(self, series: str, value: int) -> None:
        counter = self._counters.get(series)
        if counter is None and hasattr(self._domain, "get_counter"):
            counter = self._domain.get_counter(f"{DOMAIN}/{series}", int)
            self._counters[series] = counter
        if counter is not None:
            counter.sample(value)

    def _attributes(self, name: str, category: str, payload: int) -> Any:
        return self._domain.get_event_attributes(message=name, category=category, payload=payload)


class _InTorch:
    """Through PyTorch, where the package nvtx is absent: names alone, in the default domain."""

    def start(self, name: str, category: str, payload: int) -> object:
        return torch._C._nvtx.rangeStartA(name)

    def end(self, started: Any) -> None:
        torch._C._nvtx.rangeEnd(started)

    def push(self, name: str, category: str, payload: int) -> None:
        torch._C._nvtx.rangePushA(name)

    def pop(self) -> None:
        torch._C._nvtx.rangePop()

    def count(self, series: str, value: int) -> None:
        pass


class NvtxRanges:
    """Ranges for a tool that listens.

    Args:
        wanted: make ranges though nothing says that a tool listens.
        held_bytes: what is alive now, the payload of every range.
    """

    def __init__(self, wanted: bool, held_bytes: Callable[[], int]) -> None:
        self._marks = _marks(wanted)
        self._held_bytes = held_bytes
        self._pushed: dict[int, int] = {}

    @property
    def on(self) -> bool:
        """Whether ranges are made."""
        return self._marks is not None

    def start(self, name: str, category: str) -> object:
        """Starts a range; returns what `end` needs."""
        if self._marks is None:
            return None
        return self._marks.start(name, category, self._held_bytes())

    def end(self, started: object) -> None:
        """Ends a range that `start` began."""
        if self._marks is not None and started is not None:
            self._marks.end(started)

    def nest(self, depth: int, name: str = "") -> None:
        """Brings the calling thread's nested ranges to `depth`, the innermost of them `name`.

        Ranges of calls that an interrupt ended are popped with the next one.
        """
        if self._marks is None:
            return
        thread = threading.get_ident()
        pushed = self._pushed.get(thread, 0)
        for _ in range(pushed - (depth - 1 if name else depth)):
            self._marks.pop()
        if name:
            self._marks.push(name, "module", self._held_bytes())
        self._pushed[thread] = depth

    def count(self, series: str, value: int) -> None:
        """Gives a sample to the counter `memprof/<series>`."""
        if self._marks is not None:
            self._marks.count(series, value)


def _marks(wanted: bool) -> _Marks | None:
    try:
        import nvtx
    except ImportError:
        return _InTorch() if wanted and hasattr(torch._C, "_nvtx") else None
    domain = nvtx.get_domain(DOMAIN)
    return None if type(domain).__name__ == "DummyDomain" else _InDomain(domain)
