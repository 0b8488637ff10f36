"""Streams that memory is kept for are noted, and `Tensor.record_stream` does what it did.

The CPU has one stream, so a stand-in takes the place of PyTorch's method here; with real streams
`tests/gpu` tries the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

import memprof


@dataclass(frozen=True)
class Stream:
    stream_id: int


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What PyTorch's own method was called with: bytes and stream."""
    calls: list[tuple[int, int]] = []

    def record_stream(tensor: torch.Tensor, stream: Any) -> None:
        if stream.stream_id < 0:
            raise ValueError("no such stream")
        calls.append((tensor.nbytes, stream.stream_id))

    monkeypatch.setattr(torch.Tensor, "record_stream", record_stream)
    return calls


def test_each_stream_of_an_allocation_is_noted_once_it_is_recorded(
    recorded: list[tuple[int, int]],
) -> None:
    with memprof.trace() as traced:
        tensor = torch.zeros(1000)
        before = torch.zeros(1)
        tensor[:10].record_stream(Stream(7))  # type: ignore[arg-type]
        tensor.record_stream(Stream(9))  # type: ignore[arg-type]
        after = torch.zeros(1)
    del before, after

    assert recorded == [(40, 7), (4000, 9)]
    device = traced.analysis.device("cpu")
    (found,) = [row for row in device.end.live().rows() if row.bytes == 4000]
    assert found.streams == (7, 9)
    birth = int(traced.trace.allocations.birth[found.allocation])
    (young,) = [row for row in device.at_event(birth).live().rows() if row.bytes == 4000]
    assert young.streams == ()


def test_what_the_method_raises_is_the_programs(recorded: list[tuple[int, int]]) -> None:
    with memprof.trace() as traced, pytest.raises(ValueError, match="no such stream"):
        torch.zeros(10).record_stream(Stream(-1))  # type: ignore[arg-type]

    assert not traced.trace.warnings
    assert len(traced.trace.streams.stream) == 0
