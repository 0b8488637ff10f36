"""One attempt of one test: recorded, judged, and its trace kept or dropped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from memprof.errors import UsageError
from memprof.pytest_plugin.baseline import Baseline, environment
from memprof.pytest_plugin.checks import Checks
from memprof.pytest_plugin.recording import HOST, YIELDED, Measurement, Recording
from memprof.pytest_plugin.reports import verdict_text
from memprof.pytest_plugin.result import PREFIX, MemoryExceeded, Result, figures_of
from memprof.pytest_plugin.settings import Settings
from memprof.pytest_plugin.verdicts import (
    Verdict,
    as_data,
    judge_baseline,
    judge_ceiling,
    judge_estimate,
    judge_leak,
    out_of_memory,
)
from memprof.record.settle import is_out_of_memory


@dataclass
class Attempt:
    """One attempt of one test.

    Attributes:
        item: the test.
        checks: what is asked of it.
        recording: its recording.
        result: what became of it.
        settings: those of the session.
        baseline: figures to compare with, if any.
        failed: whether it failed, for whatever reason: then its trace is kept.
    """

    item: pytest.Item
    checks: Checks
    recording: Recording
    result: Result
    settings: Settings
    baseline: Baseline | None
    failed: bool = False

    def ended(self, error: BaseException | None) -> None:
        """Judges what the test held; `error` is what it raised, if anything.

        Raises:
            MemoryExceeded: if it held more than it may, and did not fail anyway.
        """
        if self.recording.yielded:
            raise UsageError(YIELDED)
        measurement = self._measured(finished=error is None)
        if error is not None:
            self._fail()
        self._judge(measurement)
        if error is not None and is_out_of_memory(error):
            self.result.verdicts.append(out_of_memory(error, measurement, self._figure_base()))
        if error is None:
            self._raise_if_exceeded()
        self.tell()

    def torn_down(self) -> None:
        """Looks at what the test left now that its fixtures are gone.

        Raises:
            MemoryExceeded: if it left more than it may.
        """
        if not self.checks.leaks or self.failed or not self.recording.runs:
            return
        measurement = self.recording.end()
        known = len(self.result.verdicts)
        for leak in self.checks.leaks:
            self.result.verdicts += judge_leak(leak, measurement)
        self._raise_if_exceeded(known)
        self.tell()

    def conclude(self, verdicts: list[Verdict], *, finished: bool) -> None:
        """Takes the verdicts on a block of the test.

        Raises:
            MemoryExceeded: if the block came to its end and held more than it may.
        """
        known = len(self.result.verdicts)
        self.result.verdicts += verdicts
        if finished:
            self._raise_if_exceeded(known)

    def close(self) -> None:
        """Ends the recording; the trace stays only where the test failed."""
        self.recording.stop()
        if not self.failed:
            self.recording.discard()

    def tell(self) -> None:
        """Puts the result into pytest's user properties, in the place of an earlier attempt's."""
        properties = self.item.user_properties
        properties[:] = [each for each in properties if not each[0].startswith(PREFIX)]
        properties.extend(self.result.properties())

    def _measured(self, *, finished: bool) -> Measurement:
        if self.checks.leaks and finished:
            return self.recording.so_far(self.recording.setup_ns)
        return self.recording.end(finished=finished)

    def _figure_base(self) -> int:
        return self._begin(self.settings.fixtures)

    def _begin(self, fixtures: bool) -> int:
        recording = self.recording
        return recording.setup_ns if fixtures else recording.body_ns or recording.setup_ns

    def _judge(self, measurement: Measurement) -> None:
        verdicts = self.result.verdicts
        self.result.notes += measurement.notes
        for ceiling in self.checks.ceilings:
            part = replace(measurement, begin_ns=self._begin(ceiling.fixtures))
            verdicts += judge_ceiling(ceiling, part)
        if measurement.finished:
            for check in self.checks.estimates:
                verdicts += judge_estimate(check, measurement)
        whole = replace(measurement, begin_ns=self._figure_base())
        self._note_figures(whole)
        if measurement.finished and self.baseline is not None:
            self._compare(self.baseline, whole)

    def _note_figures(self, measurement: Measurement) -> None:
        result, header = self.result, measurement.analysis.trace.header
        result.figures = figures_of(measurement, absolute=self.settings.absolute)
        for device in result.figures:
            about = header["devices"].get(device, {})
            kind = HOST if device == HOST else str(about.get("name") or device)
            result.environments[device] = environment(kind, str(header.get("torch")))

    def _compare(self, baseline: Baseline, measurement: Measurement) -> None:
        for device, place in self.result.environments.items():
            known = baseline.figures(place, self.result.test, device)
            if known is None:
                self.result.notes.append(f"the baseline has nothing of it for {place}")
            else:
                self.result.verdicts += judge_baseline(
                    known,
                    measurement,
                    device,
                    self.settings.tolerance,
                    absolute=self.settings.absolute,
                )

    def _raise_if_exceeded(self, known: int = 0) -> None:
        exceeded = [verdict for verdict in self.result.verdicts[known:] if not verdict.passed]
        if exceeded:
            self._fail()
            self.tell()
            raise MemoryExceeded(verdict_text(map(as_data, exceeded), self.result.trace))

    def _fail(self) -> None:
        self.failed = True
        self.result.trace = _shown(self.recording.path, self.item.config.invocation_params.dir)


def _shown(path: Path, folder: Path) -> str:
    """A path as short as it can be typed where pytest was started."""
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
