"""Logits that are held several times at the peak: their fp32 copy, log-probabilities, gradients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from memprof.analyze.analysis import Analysis
from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.findings.evidence import (
    MATRIX_PRODUCTS,
    Shape,
    alive,
    of_category,
    operation,
    operation_name,
    shapes_of,
    spans,
    total_bytes,
)
from memprof.analyze.findings.finding import Finding
from memprof.analyze.phases import phase_of_event
from memprof.attribute import RULES
from memprof.trace import FORWARD_PHASES, Trace
from memprof.trace.document import Ints

KIND = "logits"
_LOG_SOFTMAX = "_log_softmax"
_CHUNKS = (
    "Compute the loss in chunks of tokens, so that the logits of one chunk at a time exist: a "
    "fused linear cross-entropy does"
)
_DROP = ", and drop the model's output before the backward pass"


@dataclass(frozen=True, slots=True)
class _Logits:
    """The copies alive at a moment, oldest first, and the matrix product that made the logits."""

    shape: Shape
    head: int
    copies: list[int]


def logits(analysis: Analysis, device: DeviceAnalysis) -> Iterator[Finding]:
    """Tells of tensors of the logits' size that are alive at the peak beside the first of them."""
    found = _logits_at_peak(analysis, device)
    if found is None or len(found.copies) < 2:
        return
    trace, more = analysis.trace, found.copies[1:]
    rows, width = found.shape.elements // found.shape.sizes[-1], found.shape.sizes[-1]
    yield Finding(
        kind=KIND,
        bytes=total_bytes(device, more),
        text=f"The logits, {rows:,} × {width:,}, are held {len(found.copies)} times at the peak: "
        f"{_list(trace, found.copies)}.",
        fix=f"{_CHUNKS}{_DROP if _is_only_referred_to(device, found) else ''}.",
        device=device.name,
        event=device.peak.event,
        allocations=tuple(more),
    )


def _logits_at_peak(analysis: Analysis, device: DeviceAnalysis) -> _Logits | None:
    """Finds the head by its last loss: the last matrix product as wide before a log-softmax."""
    trace, peak = analysis.trace, device.peak
    held = of_category(device, alive(device, peak.event), "activations", "temporary")
    shapes = shapes_of(trace, held)
    losses = [i for i in held.tolist() if i in shapes and operation(trace, i) == _LOG_SOFTMAX]
    if not losses:
        return None
    shape = shapes[losses[-1]]
    head = _head(analysis, device, losses[-1], shape)
    if head < 0 or not _is_whole(trace, peak.event, shape):
        return None
    copies = [i for i in held.tolist() if _is_copy(shapes.get(i), shape)]
    mine = _of_this_loss(analysis, device, head, np.array(copies, np.int64))
    return _Logits(shape, head, mine)


def _head(analysis: Analysis, device: DeviceAnalysis, loss: int, shape: Shape) -> int:
    """The last matrix product of a forward before a loss with rows as wide; -1 where none is."""
    trace = analysis.trace
    rows = trace.allocations
    ops = [n for n in np.unique(rows.op) if operation_name(trace.strings[n]) in MATRIX_PRODUCTS]
    before = (rows.birth < rows.birth[loss]) & (rows.device == device.levels.number)
    asked = np.flatnonzero(before & np.isin(rows.op, ops) & (rows.sequence < 0))
    known = shapes_of(trace, asked)
    return max(
        (i for i, s in known.items() if s.sizes[-1:] == shape.sizes[-1:]),
        key=lambda i: int(rows.birth[i]),
        default=-1,
    )


def _is_copy(shape: Shape | None, of: Shape) -> bool:
    """Whether a tensor has the logits' width and nearly as many rows: a shift may drop some."""
    return (
        shape is not None
        and shape.sizes[-1:] == of.sizes[-1:]
        and of.elements <= 2 * shape.elements <= 4 * of.elements
    )


def _is_whole(trace: Trace, event: int, shape: Shape) -> bool:
    """Whether the loss is over the larger part of a call's tokens: not of a chunk of them."""
    now = int(trace.events.time_ns[event])
    calls = [span.number for span in spans(trace, *FORWARD_PHASES) if span.begin_ns <= now]
    batch, tokens = trace.phases.batch[calls], trace.phases.tokens[calls]
    known = (batch * tokens)[tokens > 0]
    return not len(known) or 2 * shape.elements >= int(known[-1]) * shape.sizes[-1]


def _of_this_loss(analysis: Analysis, device: DeviceAnalysis, head: int, copies: Ints) -> list[int]:
    """Those made since the head ran, in backward until its first matrix product; and its like."""
    trace = analysis.trace
    rows = trace.allocations
    alike = (rows.op[copies] == rows.op[head]) & (rows.module[copies] == rows.module[head])
    since = rows.birth[copies] >= rows.birth[head]
    backward = rows.sequence[copies] >= 0
    early = rows.birth[copies] < _first_product_of_backward(trace, head)
    return [int(i) for i in copies[alike | (since & (~backward | early))]]


def _first_product_of_backward(trace: Trace, head: int) -> int:
    rows = trace.allocations
    later = np.flatnonzero((rows.birth > rows.birth[head]) & (rows.sequence >= 0))
    for index in later:
        if operation(trace, int(index)) in MATRIX_PRODUCTS:
            return int(rows.birth[index])
    return len(trace.events)


def _is_only_referred_to(device: DeviceAnalysis, found: _Logits) -> bool:
    """Whether the head's result is alive in backward although the graph does not keep it."""
    attribution, trace = device.levels.attribution, device.levels.trace
    phase = trace.strings[trace.phases.name[phase_of_event(trace, device.peak.event)]]
    saved = RULES[attribution.rule[found.head]] == "saved"
    return found.head in found.copies and not saved and phase == "backward"


def _list(trace: Trace, copies: list[int]) -> str:
    shapes = shapes_of(trace, np.array(copies, np.int64))
    return ", ".join(f"{shapes[i].dtype} of {operation(trace, i)}" for i in copies)
