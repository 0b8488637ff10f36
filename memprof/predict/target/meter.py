"""Counts what is allocated on each device, for programs that ask."""

from __future__ import annotations

import weakref
from collections import defaultdict
from typing import Any

import torch

ALIGNMENT = 512  # bytes to which CUDA's allocator rounds what it hands out


class _Counted(weakref.ref[torch.UntypedStorage]):
    __slots__ = ("device", "nbytes")

    device: torch.device
    nbytes: int


class Meter:
    """Bytes allocated on each device, now and at most.

    Attributes:
        level, highest: by device.
    """

    def __init__(self) -> None:
        self.level: defaultdict[torch.device, int] = defaultdict(int)
        self.highest: defaultdict[torch.device, int] = defaultdict(int)
        self._living: set[_Counted] = set()

    def place(self, storage: Any, device: torch.device) -> None:
        """Puts the storage of a fake tensor on a device, unless it lies on one already."""
        if storage._fake_device is not None:
            return
        storage._fake_device = device
        ref = _Counted(storage, self._ended)
        ref.device, ref.nbytes = device, -(-storage.nbytes() // ALIGNMENT) * ALIGNMENT
        self._living.add(ref)
        self.level[device] += ref.nbytes
        self.highest[device] = max(self.highest[device], self.level[device])

    def reset(self, device: torch.device) -> None:
        """Forgets how high the level was."""
        self.highest[device] = self.level[device]

    def _ended(self, ref: _Counted) -> None:
        self._living.discard(ref)
        self.level[ref.device] -= ref.nbytes
