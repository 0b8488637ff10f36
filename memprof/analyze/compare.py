"""Measured against estimated: each category at its own highest, and what explains the gap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from memprof.analyze.analysis import Analysis
from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.expected import at_high_water
from memprof.analyze.explain import Case, explain
from memprof.analyze.levels import CategoryPeak
from memprof.analyze.moment import Moment
from memprof.analyze.momentary import Instant
from memprof.analyze.report import trace_document
from memprof.analyze.run_facts import RunFacts, run_facts
from memprof.estimate import Estimate
from memprof.trace import CATEGORIES

__all__ = ["CategoryComparison", "compare", "compare_document", "estimate_at_peak"]


@dataclass(frozen=True, slots=True)
class CategoryComparison:
    """One category of one device, measured and estimated.

    Attributes:
        device, category: what is compared.
        measured_bytes: the category's own high-water mark; of weights and buffers from the first
            call of a model on.
        estimated_bytes: None where there is no formula.
        error_bytes: measured minus estimated.
        error_percent: the same in percent of what was measured; None where nothing was.
        explanation: why they differ, or which moment it was.
        formula: how the estimate comes about.
        assumptions: what the estimate takes for granted.
        event: the event of the trace after which the mark was first reached, -1 if never.
    """

    device: str
    category: str
    measured_bytes: int
    estimated_bytes: int | None
    error_bytes: int | None
    error_percent: float | None
    explanation: str
    formula: str
    assumptions: tuple[str, ...]
    event: int


def compare(analysis: Analysis) -> list[CategoryComparison]:
    """Compares every category of every device, in the order of `CATEGORIES`."""
    facts = run_facts(analysis.trace)
    return [
        _comparison(analysis, facts, device, category)
        for device in analysis.devices
        for category in CATEGORIES
    ]


def estimate_at_peak(
    analysis: Analysis, moment: Moment, facts: RunFacts | None = None
) -> dict[str, Estimate]:
    """What analysis says each category needs at one moment of the run.

    Args:
        analysis: of the trace.
        moment: of one of its devices.
        facts: what the trace says was run, for whoever asks of many moments; else it is read.

    Returns:
        An estimate for every category; its bytes are None where the moment leaves them open.
    """
    instant = Instant(analysis, facts or run_facts(analysis.trace), moment)
    return {category: instant.estimate(category) for category in CATEGORIES}


def compare_document(analysis: Analysis, predicted: Analysis | None = None) -> dict[str, Any]:
    """The comparison as plain data: what ``memprof compare --json`` prints.

    Args:
        analysis: the measured run.
        predicted: the same run predicted; with it every row has `predicted_bytes` and the error
            of the prediction, None for a device that it does not have.
    """
    trace = analysis.trace
    known = trace.header.get("devices", {})
    devices: dict[str, Any] = {
        device: {"name": known.get(device, {}).get("name"), "categories": {}}
        for device in analysis.devices
    }
    for row in compare(analysis):
        devices[row.device]["categories"][row.category] = _row_document(row)
    if predicted is not None:
        for name, device in devices.items():
            _add_prediction(device["categories"], name, predicted)
    return {
        "schema": 1,
        "trace": trace_document(trace),
        "complete": trace.complete,
        "warnings": [
            {"code": remark.code, "text": remark.text, "count": remark.count}
            for remark in trace.warnings
        ],
        "devices": devices,
    }


def _add_prediction(
    categories: dict[str, dict[str, Any]], device: str, predicted: Analysis
) -> None:
    facts = run_facts(predicted.trace)
    for category, row in categories.items():
        expected = None
        if device in predicted.devices:
            expected = _measured(predicted.device(device), facts, category).bytes
        error = None if expected is None else row["measured_bytes"] - expected
        row["predicted_bytes"] = expected
        row["prediction_error_bytes"] = error
        row["prediction_error_percent"] = _percent(error, row["measured_bytes"])


def _comparison(
    analysis: Analysis, facts: RunFacts, device: str, category: str
) -> CategoryComparison:
    measured, event = _measured(analysis.device(device), facts, category)
    moment = analysis.device(device).at_event(event)
    estimate = at_high_water(analysis, facts, moment, category)
    error = None if estimate.bytes is None else measured - estimate.bytes
    return CategoryComparison(
        device=device,
        category=category,
        measured_bytes=measured,
        estimated_bytes=estimate.bytes,
        error_bytes=error,
        error_percent=_percent(error, measured),
        explanation=explain(Case(analysis, facts, moment, category, measured, estimate)),
        formula=estimate.formula,
        assumptions=estimate.assumptions,
        event=event,
    )


def _measured(device: DeviceAnalysis, facts: RunFacts, category: str) -> CategoryPeak:
    """A category's high-water mark; of weights and buffers, from the first call of a model on.

    While a model is made or loaded, weights exist twice that are then tied or converted.
    """
    first = min((noted for noted, _ in facts.models), default=0)
    begin = int(np.searchsorted(device.time_ns, first))
    if category not in ("weights", "buffers") or begin == 0:
        return device.category_peaks[category]
    series = device.series(category)[begin - 1 :]
    place = int(np.argmax(series))
    return CategoryPeak(int(series[place]), int(device.events[begin - 1 + place]))


def _percent(error: int | None, measured: int) -> float | None:
    if error is None:
        return None
    if measured == 0:
        return 0.0 if error == 0 else None
    return 100 * error / measured


def _row_document(row: CategoryComparison) -> dict[str, Any]:
    return {
        "measured_bytes": row.measured_bytes,
        "estimated_bytes": row.estimated_bytes,
        "error_bytes": row.error_bytes,
        "error_percent": row.error_percent,
        "explanation": row.explanation,
        "formula": row.formula,
        "assumptions": list(row.assumptions),
        "event": row.event,
    }
