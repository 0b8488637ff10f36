"""Streams other than a device's default one: who an allocation was made for, or is kept for.

The allocator hands memory of one stream out again to that stream alone, and takes memory that
`Tensor.record_stream` was called on back only when the other stream is done with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch

from memprof.record.containers import storages_of
from memprof.record.guard import Guard
from memprof.record.journal import Journal, now_ns
from memprof.record.patches import Patches
from memprof.record.storages import Storages

RECORDED: Final = 1


class RecordedStreams:
    """Wraps `Tensor.record_stream` while a recording runs."""

    def __init__(self, storages: Storages, journal: Journal, guard: Guard) -> None:
        self._allocation_of = storages.allocation_of
        self._rows = journal.tables["streams"].add
        self._note_safely = guard(self._note)

    def install(self, patches: Patches) -> None:
        """Wraps it; undoing `patches` restores it."""
        patches.replace(torch.Tensor, "record_stream", self._wrap)

    def _wrap(self, record: Callable[..., Any]) -> Callable[..., Any]:
        def record_stream(tensor: torch.Tensor, stream: Any) -> Any:
            result = record(tensor, stream)
            self._note_safely(tensor, stream)
            return result

        return record_stream

    def _note(self, tensor: torch.Tensor, stream: Any) -> None:
        for storage in storages_of(tensor):
            allocation = self._allocation_of(storage)
            if allocation >= 0:
                self._rows((now_ns(), allocation, int(stream.stream_id), RECORDED))
