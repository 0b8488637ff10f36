"""`record_stream`: freed memory that is not free before other streams have finished with it."""

from __future__ import annotations

from collections.abc import Callable

from memprof.predict.allocator.blocks import Block
from memprof.predict.allocator.private_pools import PrivatePools


class StreamUses:
    """Freed blocks that wait for streams.

    PyTorch records an event on each of the streams at the free, and asks at every malloc which
    events have come to pass. When they do is the device's affair: here `synchronize` says so.
    During a capture events can be neither recorded nor asked, so such frees wait for its end.

    Args:
        private: knows whether a capture is under way.
        put_back: what is done with a block for which nothing is left to wait.

    Attributes:
        waiting: the blocks, in the order in which they were freed.
    """

    def __init__(self, private: PrivatePools, put_back: Callable[[Block], None]) -> None:
        self.waiting: list[Block] = []
        self._private = private
        self._put_back = put_back
        self._captured: dict[Block, set[int]] = {}

    def record(self, block: Block, stream: int) -> None:
        """Notes that another stream uses a block."""
        if stream == block.pool.stream:
            return
        block.streams = {*(block.streams or ()), stream}
        if self._private.capturing:
            self._captured.setdefault(block, set()).add(stream)

    def wait_for(self, block: Block) -> None:
        """Takes a freed block that other streams use."""
        self.waiting.append(block)
        if not self._private.capturing:
            self._record_events(block, block.streams)

    def synchronize(self, stream: int | None) -> None:
        """Notes that a stream, or every stream, has finished what it was given so far."""
        for block in self.waiting:
            if block.pending is not None:
                block.pending = set() if stream is None else block.pending - {stream}

    def complete(self) -> None:
        """Puts back the blocks that nothing uses any more; during a capture none."""
        if self._private.capturing:
            return
        for block in self.waiting:
            if block.pending is None:
                self._record_events(block, self._not_captured(block))
        finished = [block for block in self.waiting if not block.pending]
        self.waiting = [block for block in self.waiting if block.pending]
        for block in finished:
            block.pending = None
            self._put_back(block)

    @staticmethod
    def _record_events(block: Block, streams: set[int] | None) -> None:
        """From now on the block waits for what these streams have been given by now."""
        block.pending = streams or set()
        block.streams = None

    def _not_captured(self, block: Block) -> set[int]:
        """Streams that used the block outside the capture; those inside were joined at its end."""
        return (block.streams or set()) - self._captured.pop(block, set())
