"""Logits that are held several times at the peak: their fp32 copy, log-probabilities, gradients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from memprof.analyze.analysis import Analysis
from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.findings.casts import casts_at_peak
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

_LOG_SOFTMAX = "_log_softmax"
_KEPT_BY = ("LogSoftmaxBackward0", "NllLossBackward0", "NllLoss2DBackward0")
_ITEMSIZES = (2, 4)
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
    more = found.copies[1:]
    rows, width = found.shape.elements // found.shape.sizes[-1], found.shape.sizes[-1]
    yield Finding(
        kind="logits",
        bytes=total_bytes(device, more),
        text=f"The logits, {rows:,} × {width:,}, are held {len(found.copies)} times at the peak: "
        f"{_list(analysis, found.copies)}.",
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
    losses = [i for i, s in shapes.items() if len(s.sizes) > 1 and _is_loss(analysis, i)]
    if not losses:
        return None
    loss = max(losses, key=lambda index: int(trace.allocations.birth[index]))
    shape = shapes[loss]
    head = _head(analysis, device, loss, shape)
    if head < 0 or not _is_whole(trace, peak.event, shape):
        return None
    weights = casts_at_peak(analysis, device)  # as large where there are as many tokens as inputs
    others = [index for index in held.tolist() if index not in weights]
    copies = [i for i in others if _is_copy(trace, i, shapes.get(i), shape)]
    mine = _of_this_loss(analysis, head, np.array(copies, np.int64))
    return _Logits(shape, head, mine)


def _is_loss(analysis: Analysis, index: int) -> bool:
    """Whether a tensor holds log-probabilities: by its operation, or by the node that keeps it."""
    named = analysis.trace.strings[analysis.attribution.name[index]]
    return operation(analysis.trace, index) == _LOG_SOFTMAX or named in _KEPT_BY


def _head(analysis: Analysis, device: DeviceAnalysis, loss: int, shape: Shape) -> int:
    """The matrix product of a forward that made a loss's logits; -1 where none is found.

    It is the last one as wide before the loss; where operations are not known, the first result
    as wide in the same call.
    """
    trace = analysis.trace
    rows = trace.allocations
    before = (rows.birth < rows.birth[loss]) & (rows.device == device.levels.number)
    forward = np.flatnonzero(before & (rows.sequence < 0) & (rows.nbytes > 0))
    named = forward[np.isin(rows.op[forward], _products(trace))]
    nameless = forward[
        (rows.op[forward] == rows.op[loss]) & (rows.phase[forward] == rows.phase[loss])
    ]
    known = shapes_of(trace, named)
    made = [i for i in named.tolist() if _is_as_wide(trace, i, known.get(i), shape)]
    if made or operation(trace, loss):
        return max(made, key=lambda i: int(rows.birth[i]), default=-1)
    wide = [i for i, s in shapes_of(trace, nameless).items() if _is_as_large(s, shape)]
    first = min(wide, key=lambda i: int(rows.birth[i]), default=-1)
    module = analysis.attribution.birth_module
    return first if first >= 0 and module[first] != module[loss] else -1


def _products(trace: Trace) -> list[int]:
    """Numbers of the operations that multiply matrices."""
    names = np.unique(trace.allocations.op).tolist()
    return [n for n in names if operation_name(trace.strings[n]) in MATRIX_PRODUCTS]


def _is_copy(trace: Trace, index: int, shape: Shape | None, of: Shape) -> bool:
    """Whether a tensor has the logits' size; where its shape is not known, by bytes."""
    if shape is not None:
        return _is_as_large(shape, of)
    sizes = (of.elements * itemsize for itemsize in _ITEMSIZES)
    return int(trace.allocations.nbytes[index]) in sizes


def _is_as_wide(trace: Trace, index: int, shape: Shape | None, of: Shape) -> bool:
    """Whether a tensor has the logits' width; where its shape is not known, their size."""
    return shape.sizes[-1:] == of.sizes[-1:] if shape else _is_copy(trace, index, shape, of)


def _is_as_large(shape: Shape, of: Shape) -> bool:
    """Whether a shape has the logits' width and nearly as many rows: a shift may drop some."""
    return (
        shape.sizes[-1:] == of.sizes[-1:] and of.elements <= 2 * shape.elements <= 4 * of.elements
    )


def _is_whole(trace: Trace, event: int, shape: Shape) -> bool:
    """Whether the loss is over the larger part of a call's tokens: not of a chunk of them."""
    now = int(trace.events.time_ns[event])
    calls = [span.number for span in spans(trace, *FORWARD_PHASES) if span.begin_ns <= now]
    batch, tokens = trace.phases.batch[calls], trace.phases.tokens[calls]
    known = (batch * tokens)[tokens > 0]
    return not len(known) or 2 * shape.elements >= int(known[-1]) * shape.sizes[-1]


def _of_this_loss(analysis: Analysis, head: int, copies: Ints) -> list[int]:
    """Those made since the head ran, in backward until its first matrix product; and its like."""
    rows = analysis.trace.allocations
    alike = (rows.op[copies] == rows.op[head]) & (rows.module[copies] == rows.module[head])
    since = rows.birth[copies] >= rows.birth[head]
    backward = rows.sequence[copies] >= 0
    early = rows.birth[copies] < _backward_of_head(analysis, head)
    return [int(i) for i in copies[alike | (since & (~backward | early))]]


def _backward_of_head(analysis: Analysis, head: int) -> int:
    """The event with which backward comes to the head: its first matrix product.

    Where operations are not known, its first result in the head's module.
    """
    trace = analysis.trace
    rows, module = trace.allocations, analysis.attribution.birth_module
    later = (rows.birth > rows.birth[head]) & (rows.sequence >= 0)
    named = later & np.isin(rows.op, _products(trace))
    nameless = later & (rows.op == rows.op[head]) & (module == module[head])
    found = np.flatnonzero(named if operation(trace, head) else nameless)
    return int(rows.birth[found].min(initial=len(trace.events)))


def _is_only_referred_to(device: DeviceAnalysis, found: _Logits) -> bool:
    """Whether the head's result is alive in backward although the graph does not keep it."""
    attribution, trace = device.levels.attribution, device.levels.trace
    phase = trace.strings[trace.phases.name[phase_of_event(trace, device.peak.event)]]
    saved = RULES[attribution.rule[found.head]] == "saved"
    return found.head in found.copies and not saved and phase == "backward"


def _list(analysis: Analysis, copies: list[int]) -> str:
    """Says what the copies are; those alike once, with their number."""
    shapes = shapes_of(analysis.trace, np.array(copies, np.int64))
    told = Counter(f"{_dtype(shapes.get(i))} {_maker(analysis, i)}".strip() for i in copies)
    return ", ".join(text if count == 1 else f"{text} ({count})" for text, count in told.items())


def _dtype(shape: Shape | None) -> str:
    return "" if shape is None else shape.dtype


def _maker(analysis: Analysis, index: int) -> str:
    """The operation that made a tensor; where it is not known, the phase and the module."""
    trace, op = analysis.trace, operation(analysis.trace, index)
    phase = trace.strings[trace.phases.name[trace.allocations.phase[index]]]
    module = trace.strings[analysis.attribution.birth_module[index]]
    return (
        f"from {op}" if op else f"made in {' of '.join(part for part in (phase, module) if part)}"
    )
