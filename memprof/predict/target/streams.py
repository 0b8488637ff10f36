"""CUDA streams and events of a predicted run: everything happens in order and at once."""

from __future__ import annotations

from typing import Any

import torch


class Stream:
    """A stream on which nothing ever waits; also a context manager, as in ``with stream:``."""

    def __init__(self, device: Any = None, priority: int = 0, **options: Any) -> None:
        self.device = torch.device("cuda", 0) if device is None else torch.device(device)
        self.priority = priority
        self.cuda_stream = 0
        self.stream_id = 0
        self.device_index = self.device.index or 0
        self.device_type = 1

    def wait_event(self, event: Any) -> None:
        """Nothing is awaited."""

    def wait_stream(self, stream: Any) -> None:
        """Nothing is awaited."""

    def synchronize(self) -> None:
        """Nothing is awaited."""

    def query(self) -> bool:
        """All work is done."""
        return True

    def record_event(self, event: Any = None) -> Any:
        """The event, or a new one."""
        return Event() if event is None else event

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None:
        return None


class Event:
    """An event that has always happened."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.event_id = 0

    def record(self, stream: Any = None) -> None:
        """It has happened."""

    def wait(self, stream: Any = None) -> None:
        """Nothing is awaited."""

    def query(self) -> bool:
        """It has happened."""
        return True

    def synchronize(self) -> None:
        """Nothing is awaited."""

    def elapsed_time(self, end: Any) -> float:
        """A millisecond: a predicted run says nothing of time."""
        return 1.0
