"""Formulas at work: the cache by tokens, activations by layer, the three candidate peaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memprof.analyze.analysis import Analysis
from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.findings.evidence import Span, spans
from memprof.analyze.generation import cache_spec
from memprof.analyze.run_facts import run_facts
from memprof.analyze.training import training_run
from memprof.estimate import ModelSpec, Parallelism, RunSpec
from memprof.estimate.activations import Stack, Unknown, stack_of, total
from memprof.estimate.blocks import block_number
from memprof.estimate.kv_cache import CacheSpec, kept_bytes
from memprof.estimate.parallel import share
from memprof.estimate.peaks import training_peaks
from memprof.estimate.training import Step
from memprof.trace import CATEGORIES


@dataclass(frozen=True, slots=True)
class CachePoint:
    """The cache of keys and values when a call of the model has ended.

    Attributes:
        tokens: of each sequence that it holds.
        batch: sequences.
        measured: bytes.
        expected: the formula's; None where none covers this cache.
    """

    tokens: int
    batch: int
    measured: int
    expected: int | None


@dataclass(frozen=True, slots=True)
class LayerBytes:
    """What the blocks keep for backward when activations are at their highest.

    Attributes:
        measured: bytes by the block's number.
        expected: what the formula gives each block; None where none covers the model.
    """

    measured: dict[int, int]
    expected: int | None


@dataclass(frozen=True, slots=True)
class CandidatePeak:
    """One of the three moments that can be the highest of a training step.

    Attributes:
        name: "loss", "backward" or "optimizer".
        measured: the highest level of that part of the step; None where it has no such part.
        event: the event after which that level was reached.
        expected: the formula's; None where not all of it is known.
    """

    name: str
    measured: int | None
    event: int
    expected: int | None


def cache_points(analysis: Analysis, device: DeviceAnalysis) -> tuple[list[CachePoint], int | None]:
    """The cache after each call that used one, and the bytes of one more token of one sequence."""
    trace, facts = analysis.trace, run_facts(analysis.trace)
    phases = trace.phases
    rows = np.flatnonzero((phases.batch > 0) & (phases.tokens > 0) & (phases.context >= 0))
    spec = cache_spec(analysis, facts, facts.models_at(int(device.end.time_ns)))
    grows = isinstance(spec, CacheSpec) and spec.slots is None
    held = np.append(device.series("kv_cache"), 0)
    points = []
    for row in rows[phases.end_ns[rows] >= 0].tolist():
        batch, tokens = int(phases.batch[row]), int(phases.context[row] + phases.tokens[row])
        place = int(np.searchsorted(device.time_ns, phases.end_ns[row], side="right")) - 1
        expected = (
            kept_bytes(spec, batch, tokens) if grows and isinstance(spec, CacheSpec) else None
        )
        points.append(CachePoint(tokens, batch, int(held[place]), expected))
    if not any(point.measured for point in points):
        return [], None
    return points, spec.bytes_per_token if grows and isinstance(spec, CacheSpec) else None


def layer_bytes(analysis: Analysis, device: DeviceAnalysis) -> LayerBytes:
    """Sums what activations there are at their highest by the number in their module's path."""
    levels = device.levels
    event = device.category_peaks["activations"].event
    moment = device.at_event(event)
    live = moment.live().allocations
    chosen = live[levels.attribution.category[live] == CATEGORIES.index("activations")]
    strings, nbytes = levels.trace.strings, levels.trace.allocations.nbytes
    measured: dict[int, int] = {}
    for index, module in zip(
        chosen.tolist(), levels.attribution.module[chosen].tolist(), strict=True
    ):
        number = block_number(strings[module])
        if number is not None:
            measured[number] = measured.get(number, 0) + int(nbytes[index])
    facts = run_facts(levels.trace)
    found = training_run(analysis, facts, facts.models_at(moment.time_ns), moment)
    expected = None
    if not isinstance(found, str) and not found[1].recomputes:
        stack = _stack(*found)
        expected = total(stack.block) if isinstance(stack, Stack) else None
    return LayerBytes(dict(sorted(measured.items())), expected)


def candidate_peaks(analysis: Analysis, device: DeviceAnalysis) -> list[CandidatePeak]:
    """The three candidates of the step in which the device was highest; none without a backward."""
    trace = analysis.trace
    begin, end = _step_around(device)
    inside = [s for s in spans(trace, "backward") if begin <= s.begin_ns < end]
    if not inside:
        return []
    backward = inside[0]
    turn = _first_gradient(device, backward)
    stepped = [s for s in spans(trace, "optimizer") if begin <= s.begin_ns < end]
    parts = {
        "loss": (begin, turn),
        "backward": (turn, backward.end_ns),
        "optimizer": (stepped[0].begin_ns, stepped[0].end_ns) if stepped else (0, 0),
    }
    expected = _expected(analysis, device)
    return [
        CandidatePeak(name, *_highest(device, *span), expected.get(name))
        for name, span in parts.items()
    ]


def _step_around(device: DeviceAnalysis) -> tuple[int, int]:
    trace, step = device.levels.trace, device.peak.step
    edges = [*trace.steps.begin_ns.tolist(), int(device.end.time_ns) + 1]
    return (edges[step], edges[step + 1]) if step is not None else (trace.begin_ns, edges[-1])


def _first_gradient(device: DeviceAnalysis, backward: Span) -> int:
    """When the first gradient of a block is born in a backward, or else of any parameter.

    That of the head comes while the loss is still being worked on.
    """
    trace, attribution = device.levels.trace, device.levels.attribution
    births = trace.events.time_ns[trace.allocations.birth]
    inside = (births >= backward.begin_ns) & (births <= backward.end_ns)
    inside &= attribution.category == CATEGORIES.index("gradients")
    inside &= trace.allocations.device == device.levels.number
    found = np.flatnonzero(inside)
    modules = attribution.module[found].tolist()
    own = [block_number(trace.strings[module]) is not None for module in modules]
    times = births[found][own] if any(own) else births[found]
    return int(times.min()) if len(times) else backward.end_ns


def _highest(device: DeviceAnalysis, begin_ns: int, end_ns: int) -> tuple[int | None, int]:
    first, last = np.searchsorted(device.time_ns, [begin_ns, end_ns]).tolist()
    if first == last:
        return None, -1
    place = first + int(np.argmax(device.total[first:last]))
    return int(device.total[place]), int(device.events[place])


def _expected(analysis: Analysis, device: DeviceAnalysis) -> dict[str, int | None]:
    facts = run_facts(analysis.trace)
    found = training_run(analysis, facts, facts.models_at(device.peak.time_ns), device.peak)
    if isinstance(found, str):
        return {}
    model, run = found
    optimizer = facts.optimizers[-1][1] if facts.optimizers else None
    step = Step(share(model, Parallelism(), 0), run, optimizer, _stack(model, run))
    return {name: peak.bytes for name, peak in training_peaks(step).items()}


def _stack(model: ModelSpec, run: RunSpec) -> Stack | str:
    try:
        return stack_of(model, run)
    except Unknown as reason:
        return str(reason)
