"""Weights that are alive at the peak in a second dtype, as autocast casts them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np

from memprof.analyze.analysis import Analysis
from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.findings.evidence import (
    Shape,
    alive,
    of_category,
    operation,
    shapes_of,
    total_bytes,
)
from memprof.analyze.findings.finding import Finding
from memprof.analyze.run_facts import run_facts
from memprof.estimate.dtypes import itemsize
from memprof.trace.document import Ints

_CASTS = ("_to_copy", "")  # the allocator may not know operations


def weight_casts(analysis: Analysis, device: DeviceAnalysis) -> Iterator[Finding]:
    """Tells of weights that are alive at the peak in a second dtype, cast in their own module."""
    casts = casts_at_peak(analysis, device)
    if not casts:
        return
    known = shapes_of(analysis.trace, np.array(casts, np.int64)).values()
    dtypes = ", ".join(sorted({shape.dtype for shape in known} or _autocast(analysis)))
    yield Finding(
        kind="weight_casts",
        bytes=total_bytes(device, casts),
        text=f"{len(casts):,} weights are alive at the peak a second time, cast to {dtypes} "
        "where they are used, as autocast does.",
        fix=f"Hold the weights in {dtypes} (model.to(...)), with an optimizer that rounds "
        "stochastically or keeps float32 copies itself; or checkpoint the layers, which drops the "
        "casts too.",
        device=device.name,
        event=device.peak.event,
        allocations=tuple(sorted(casts)),
    )


def casts_at_peak(analysis: Analysis, device: DeviceAnalysis) -> list[int]:
    """Casts alive at the peak, of each module no more of one size than it has weights."""
    trace, module = analysis.trace, analysis.attribution.module
    held = alive(device, device.peak.event)
    own: defaultdict[int, list[Shape]] = defaultdict(list)
    for index, shape in shapes_of(trace, of_category(device, held, "weights")).items():
        own[int(module[index])].append(shape)
    made = _made_by_casts(analysis, of_category(device, held, "activations", "temporary"))
    shapes, dtypes = shapes_of(trace, made), _autocast(analysis)
    taken: Counter[tuple[int, int]] = Counter()
    found = []
    for index in made.tolist():
        nbytes = int(trace.allocations.nbytes[index])
        weights = _cast_to(nbytes, shapes.get(index), own[int(module[index])], dtypes)
        if taken[int(module[index]), nbytes] < weights:
            taken[int(module[index]), nbytes] += 1
            found.append(index)
    return found


def _made_by_casts(analysis: Analysis, allocations: Ints) -> Ints:
    """Those of some allocations that a forward's cast may have made."""
    ops = [operation(analysis.trace, index) in _CASTS for index in allocations.tolist()]
    forward = analysis.trace.allocations.sequence[allocations] < 0
    made: Ints = allocations[forward & np.array(ops, bool)]
    return made


def _cast_to(nbytes: int, shape: Shape | None, weights: list[Shape], dtypes: set[str]) -> int:
    """How many weights may have been cast to a tensor: by its shape, else by its bytes."""
    if shape is not None:
        alike = (own for own in weights if sorted(own.sizes) == sorted(shape.sizes))
        return sum(own.dtype != shape.dtype for own in alike)  # the graph keeps it transposed
    return sum(
        nbytes == own.elements * itemsize(dtype)
        for own in weights
        for dtype in dtypes - {own.dtype}
    )


def _autocast(analysis: Analysis) -> set[str]:
    """The dtypes to which autocast cast in the calls of models."""
    dtypes = {call.get("autocast") for call in run_facts(analysis.trace).calls}
    return {dtype for dtype in dtypes if isinstance(dtype, str)}
