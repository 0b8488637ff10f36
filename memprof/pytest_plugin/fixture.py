"""The ``memprof`` fixture: ceilings for parts of a test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import memprof
from memprof.analyze.span import HighWater, Level, Span
from memprof.errors import UsageError
from memprof.pytest_plugin.checks import Ceiling
from memprof.pytest_plugin.recording import Measurement, Recording
from memprof.pytest_plugin.verdicts import judge_ceiling
from memprof.record.settle import settle


class Block:
    """What the code of a ``with memprof.ceiling(...)`` block held; known when it has ended.

    All figures are growth over the block's start, unless the ceiling is absolute.
    """

    def __init__(self, *, absolute: bool, device: str) -> None:
        self._absolute, self._device = absolute, device
        self._measurement: Measurement | None = None

    def ended(self, measurement: Measurement) -> None:
        """Takes what was measured."""
        self._measurement = measurement

    def on(self, device: str) -> Span:
        """The figures of one device, such as "cuda:0"."""
        if self._measurement is None:
            raise UsageError("the figures are there once the `with memprof.ceiling()` block ended")
        found = self._measurement.span(device)
        return found if self._absolute else found.growth()

    @property
    def device(self) -> str:
        """The device that `peak` and the others speak of: the ceiling's, or the fullest."""
        if self._measurement is None:
            return self._device
        asked = self._measurement.asked(self._device)
        return max(asked, key=lambda device: self.on(device).peak.bytes)

    @property
    def peak(self) -> Level:
        """The highest moment: ``t.peak.bytes``, ``t.peak.by_category["activations"]``."""
        return self.on(self.device).peak

    @property
    def end(self) -> Level:
        """What was left when the block had ended."""
        return self.on(self.device).end

    @property
    def held(self) -> Level:
        """What was there when the block began."""
        if self._measurement is None:
            raise UsageError("the figures are there once the `with memprof.ceiling()` block ended")
        return self._measurement.span(self.device).start

    @property
    def category_peaks(self) -> dict[str, HighWater]:
        """Each category's own highest, whenever that was."""
        return self.on(self.device).category_peaks


class Memprof:
    """What a test gets that asks for the fixture: `ceiling`, `join`, and all that memprof has."""

    def __init__(
        self,
        recording: Recording,
        make: Callable[..., list[Ceiling]],
        conclude: Callable[..., None],
    ) -> None:
        self._recording, self._make, self._conclude = recording, make, conclude

    @contextmanager
    def ceiling(self, *limit: Any, **options: Any) -> Iterator[Block]:
        """Measures the block, and fails the test if it exceeds a ceiling.

        Args:
            limit: a size for all together, as "200 MiB"; may be left out.
            options: sizes by category, and `device`, `on` and `absolute` as of the marker.

        Raises:
            UsageError: if they mean nothing.
        """
        ceilings = self._make(*limit, **options) if limit or options else []
        first = ceilings[0] if ceilings else Ceiling(None)
        block = Block(absolute=first.absolute, device=first.device)
        settle()
        begin_ns = self._recording.now()
        try:
            yield block
        except BaseException:
            self._ended(block, ceilings, begin_ns, finished=False)
            raise
        self._ended(block, ceilings, begin_ns, finished=True)

    def _ended(
        self, block: Block, ceilings: list[Ceiling], begin_ns: int, *, finished: bool
    ) -> None:
        measurement = self._recording.so_far(begin_ns, finished=finished)
        block.ended(measurement)
        verdicts = [
            verdict
            for ceiling in ceilings
            if ceiling.limit is not None
            for verdict in judge_ceiling(ceiling, measurement)
        ]
        self._conclude(verdicts, finished=finished)

    def join(self, path: str | os.PathLike[str]) -> None:
        """Counts the trace that another process wrote, as under ``memprof run``, with the test."""
        self._recording.join(Path(path))

    def __getattr__(self, name: str) -> Any:
        """The rest of the package: a test that names the fixture still says `memprof.step()`."""
        return getattr(memprof, name)
