"""Whether what was measured keeps to what was asked, each in one sentence with the numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from memprof.analyze.compare import CategoryComparison, compare
from memprof.analyze.live import LiveSet
from memprof.analyze.span import HighWater, Span
from memprof.pytest_plugin.baseline import PEAK, grown
from memprof.pytest_plugin.checks import END, Ceiling, Leak, MatchesEstimate, Tolerance
from memprof.pytest_plugin.largest import largest, lines
from memprof.pytest_plugin.recording import Measurement
from memprof.units import format_bytes, parse_bytes

_ASKED = re.compile(r"[Tt]ried to allocate ([0-9.]+ (?:[KMGT]iB|bytes))")
NOTHING_ESTIMATED = "no category has an estimate: the test called no model that memprof saw"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one check on one device.

    Attributes:
        check: "ceiling", "estimate", "leak" or "baseline".
        passed: whether what was asked holds.
        device: its name.
        category: "" for all together.
        measured_bytes: what was held, in the sense of the check.
        limit_bytes: what was allowed; None where there is no single number.
        held_bytes: what was held before the test.
        sentence: all of it for people.
        largest: the largest tensors that it is about, a line each; empty where it passed.
    """

    check: str
    passed: bool
    device: str
    category: str
    measured_bytes: int
    limit_bytes: int | None
    held_bytes: int
    sentence: str
    largest: tuple[str, ...] = ()


def judge_ceiling(ceiling: Ceiling, measurement: Measurement) -> Iterator[Verdict]:
    """Holds a ceiling against each device that it is for."""
    assert ceiling.limit is not None
    if ceiling.on == END and not measurement.finished:
        return
    for device in measurement.asked(ceiling.device):
        span = measurement.span(device)
        seen = _figure(span if ceiling.absolute else span.growth(), ceiling)
        passed = seen.bytes <= ceiling.limit
        yield Verdict(
            "ceiling",
            passed,
            device,
            ceiling.category,
            seen.bytes,
            ceiling.limit,
            span.start.bytes,
            _ceiling_sentence(ceiling, span, seen.bytes),
            ()
            if passed
            else largest(
                measurement, device, seen.time_ns, ceiling.category, absolute=ceiling.absolute
            ),
        )


def judge_estimate(check: MatchesEstimate, measurement: Measurement) -> Iterator[Verdict]:
    """Holds what was measured against analysis, category by category."""
    rows = [
        row
        for row in compare(measurement.analysis)
        if row.device in measurement.asked(check.device)
        and (row.category in check.categories if check.categories else row.estimated_bytes)
    ]
    if not rows:
        device = measurement.asked(check.device)[0]
        yield Verdict("estimate", False, device, "", 0, None, 0, NOTHING_ESTIMATED)
    for row in rows:
        yield _estimate_verdict(check, row, measurement)


def judge_leak(leak: Leak, measurement: Measurement) -> Iterator[Verdict]:
    """Looks for what the test allocated and what is still there."""
    for device in measurement.asked(leak.device):
        left = _left(measurement, device)
        nbytes = int(left.nbytes.sum()) if left is not None else 0
        passed = nbytes <= leak.limit
        what = f"{format_bytes(nbytes)} of the test's own stayed on {device} after it"
        yield Verdict(
            "leak",
            passed,
            device,
            "",
            nbytes,
            leak.limit,
            measurement.span(device).start.bytes,
            f"{what}, allowed {_against(leak.limit, nbytes)}",
            () if passed or left is None else lines(left),
        )


def judge_baseline(
    known: Mapping[str, int],
    measurement: Measurement,
    device: str,
    tolerance: Tolerance,
    *,
    absolute: bool,
) -> Iterator[Verdict]:
    """Holds what a test held against what the baseline says of it, category by category."""
    span = measurement.span(device)
    counted = span if absolute else span.growth()
    seen = {PEAK: HighWater(counted.peak.bytes, counted.peak.time_ns), **counted.category_peaks}
    names = grown(known, {name: high.bytes for name, high in seen.items()}, tolerance)
    for name in names or [PEAK]:
        category, then = "" if name == PEAK else name, known.get(name, 0)
        yield Verdict(
            "baseline",
            not names,
            device,
            category,
            seen[name].bytes,
            then,
            span.start.bytes,
            _baseline_sentence(category, then, seen[name].bytes, span, tolerance),
            largest(measurement, device, seen[name].time_ns, category, absolute=absolute)
            if names
            else (),
        )


def out_of_memory(error: BaseException, measurement: Measurement, begin_ns: int) -> Verdict:
    """What was held when an allocator gave up."""
    last = replace(measurement, begin_ns=begin_ns)
    device = max(last.asked(""), key=lambda name: last.span(name).peak.bytes)
    span = last.span(device)
    peak = span.growth().peak
    return Verdict(
        "out_of_memory",
        False,
        device,
        "",
        peak.bytes,
        None,
        span.start.bytes,
        f"out of memory: {_asked_for(error)}; memory peaked at {format_bytes(peak.bytes)} on "
        f"{device} until then; {held_before(span)}",
        largest(last, device, peak.time_ns, ""),
    )


def _asked_for(error: BaseException) -> str:
    match = _ASKED.search(str(error))
    if match is None:
        return str(error).strip().partition("\n")[0]
    return f"it tried to allocate {format_bytes(parse_bytes(match[1].removesuffix('ytes')))}"


def held_before(span: Span) -> str:
    """What was there before a test, the categories of it, largest first."""
    if not span.start.bytes:
        return "nothing was held before the test"
    parts = sorted(span.start.by_category.items(), key=lambda part: -part[1])
    named = ", ".join(f"{name} {format_bytes(held)}" for name, held in parts[:3] if held)
    return f"{format_bytes(span.start.bytes)} was held before the test ({named})"


def _figure(span: Span, ceiling: Ceiling) -> HighWater:
    if ceiling.on == END:
        held = span.end.by_category[ceiling.category] if ceiling.category else span.end.bytes
        return HighWater(held, span.end.time_ns)
    if ceiling.category:
        return span.category_peaks[ceiling.category]
    return HighWater(span.peak.bytes, span.peak.time_ns)


def _ceiling_sentence(ceiling: Ceiling, span: Span, nbytes: int) -> str:
    assert ceiling.limit is not None
    what = ceiling.category or "memory"
    did = "ended at" if ceiling.on == END else "peaked at"
    counted = "of it " if ceiling.absolute and span.start.bytes else ""
    return (
        f"{what} {did} {format_bytes(nbytes)} on {span.device}, "
        f"ceiling {_against(ceiling.limit, nbytes)}; {counted}{held_before(span)}"
    )


def _baseline_sentence(category: str, then: int, now: int, span: Span, tolerance: Tolerance) -> str:
    percent = f", {(now - then) / then:+.1%}" if then else ""
    return (
        f"{category or 'memory'} peaked at {format_bytes(now)} on {span.device}, "
        f"baseline {format_bytes(then)} ({format_bytes(now - then, sign=True)}{percent}; "
        f"tolerance {tolerance}); {held_before(span)}"
    )


def _against(limit: int, nbytes: int) -> str:
    return f"{format_bytes(limit)} ({format_bytes(nbytes - limit, sign=True)})"


def _estimate_verdict(
    check: MatchesEstimate, row: CategoryComparison, measurement: Measurement
) -> Verdict:
    span = measurement.span(row.device)
    measured, error = _without_strangers(row, span.start.by_category[row.category])
    where = f"{row.category} peaked at {format_bytes(measured)} on {row.device}"
    if row.estimated_bytes is None:
        passed, sentence = False, f"{where} and cannot be held against analysis: {row.formula}"
    else:
        passed = abs(error) <= check.tolerance.of(row.estimated_bytes)
        sentence = (
            f"{where}, estimated {format_bytes(row.estimated_bytes)} "
            f"({format_bytes(error, sign=True)}, tolerance {check.tolerance}): {row.explanation}; "
            f"{held_before(span)}"
        )
    return Verdict(
        "estimate",
        passed,
        row.device,
        row.category,
        measured,
        row.estimated_bytes,
        span.start.bytes,
        sentence,
        () if passed else _at_event(row, measurement),
    )


def _without_strangers(row: CategoryComparison, held: int) -> tuple[int, int]:
    """The measured bytes and their error, with or without what was held before the test.

    That may be the run's own, as a model that tests share, or another test's: what fits better
    holds.
    """
    if row.estimated_bytes is None:
        return row.measured_bytes, 0
    choices = (row.measured_bytes, row.measured_bytes - held)
    measured = min(choices, key=lambda nbytes: abs(nbytes - (row.estimated_bytes or 0)))
    return measured, measured - row.estimated_bytes


def _at_event(row: CategoryComparison, measurement: Measurement) -> tuple[str, ...]:
    if row.event < 0:
        return ()
    moment = measurement.analysis.device(row.device).at_event(row.event)
    return lines(moment.live().only(row.category))


def _left(measurement: Measurement, device: str) -> LiveSet | None:
    if device not in measurement.analysis.devices:
        return None
    moment = measurement.analysis.device(device).at_time(measurement.end_ns)
    return moment.live().only(born_after_ns=measurement.begin_ns)


def as_data(verdict: Verdict) -> dict[str, Any]:
    """The verdict as plain data, that a report can carry from one process to another."""
    return {
        "check": verdict.check,
        "passed": verdict.passed,
        "device": verdict.device,
        "category": verdict.category,
        "measured_bytes": verdict.measured_bytes,
        "limit_bytes": verdict.limit_bytes,
        "held_bytes": verdict.held_bytes,
        "sentence": verdict.sentence,
        "largest": list(verdict.largest),
    }
