"""What became of one attempt of one test, as data that a report carries between processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from _pytest.outcomes import Failed

from memprof.analyze.analysis import Analysis
from memprof.analyze.span import Span
from memprof.analyze.waterfall import waterfall
from memprof.pytest_plugin.recording import Measurement
from memprof.pytest_plugin.verdicts import Verdict, as_data

PREFIX = "memprof_"


class MemoryExceeded(Failed):
    """A test held more than it may; its text is the verdict, and pytest shows no traceback."""

    __module__ = "builtins"  # as pytest's own outcomes: people see the name alone

    def __init__(self, text: str) -> None:
        super().__init__(text, pytrace=False)


@dataclass
class Result:
    """Everything found out about one attempt of one test.

    Attributes:
        test: its node id.
        trace: its trace file, of a test that failed.
        figures: bytes by device, of the whole test.
        environments: by device, the key under which a baseline has its figures.
        notes: what is worth knowing beside the verdicts.
    """

    test: str
    trace: str | None = None
    verdicts: list[Verdict] = field(default_factory=list)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    environments: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """The result as plain data."""
        return {
            "test": self.test,
            "trace": self.trace,
            "devices": self.figures,
            "environments": self.environments,
            "verdicts": [as_data(verdict) for verdict in self.verdicts],
            "notes": self.notes,
        }

    def properties(self) -> Iterator[tuple[str, str]]:
        """The result as pytest's user properties, which JUnit XML shows."""
        for device, figures in self.figures.items():
            place = f"{PREFIX}{device.replace(':', '')}"
            yield f"{place}_peak_bytes", str(figures["peak_bytes"])
            for name, held in figures["category_peaks"].items():
                if held:
                    yield f"{place}_{name}_bytes", str(held)
        for verdict in self.verdicts:
            yield f"{PREFIX}verdict", verdict.sentence
        if self.trace is not None:
            yield f"{PREFIX}trace", self.trace


def figures_of(measurement: Measurement, *, absolute: bool) -> dict[str, dict[str, Any]]:
    """What every device held that took part in a test."""
    found = {device: measurement.span(device) for device in measurement.devices}
    took_part = {
        device: span
        for device, span in found.items()
        if span.growth().peak.bytes or device == measurement.devices[0]
    }
    return {
        device: {
            **_figures(span, span if absolute else span.growth()),
            "waterfall": _waterfall(measurement.analysis, device, span.peak.time_ns),
        }
        for device, span in took_part.items()
    }


def _waterfall(analysis: Analysis, device: str, time_ns: int) -> dict[str, Any] | None:
    """From tensors to the driver at a moment; None of a device that child processes alone use."""
    if device not in analysis.devices:
        return None
    moment = analysis.device(device).at_time(time_ns)
    return waterfall(analysis.trace, device, moment).document()


def _figures(span: Span, counted: Span) -> dict[str, Any]:
    return {
        "held_bytes": span.start.bytes,
        "held_by_category": span.start.by_category,
        "peak_bytes": counted.peak.bytes,
        "by_category": counted.peak.by_category,
        "end_bytes": counted.end.bytes,
        "category_peaks": {name: peak.bytes for name, peak in counted.category_peaks.items()},
    }
