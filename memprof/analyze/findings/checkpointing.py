"""Activations of repeated layers that checkpointing would recompute instead of keeping."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from memprof.analyze.analysis import Analysis
from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.findings.evidence import alive, of_category, spans, total_bytes
from memprof.analyze.findings.finding import Finding
from memprof.trace.document import Ints

_LAYER = re.compile(r"(?:^|\.)\d+(?=\.|$)")
_RESULTS = 4  # an operation returns at most so many tensors, one birth after the other
_STATISTICS = 32  # a norm's mean is smaller than its result by the width of the model


@dataclass
class _Pass:
    """One forward of one layer: what it made, oldest first, and what of it is alive at the peak."""

    layer: str
    made: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)


def checkpointing(analysis: Analysis, device: DeviceAnalysis) -> Iterator[Finding]:
    """Tells of what all layers but one keep at the peak beside the input of the next one."""
    if spans(analysis.trace, "recompute"):
        return
    stacks = [(path, passes, _spared(device, passes)) for path, passes in _stacks(device).items()]
    told: list[str] = []
    for path, passes, spared in sorted(stacks, key=lambda stack: -total_bytes(device, stack[2])):
        layers = {each.layer for each in passes}
        if len(layers) > 1 and len(spared) and not any(_overlap(path, other) for other in told):
            told.append(path)
            yield _finding(device, f"{path}.*".removeprefix("."), len(layers), spared)


def _finding(device: DeviceAnalysis, layers: str, count: int, spared: Ints) -> Finding:
    return Finding(
        kind="checkpointing",
        bytes=total_bytes(device, spared),
        text=f"The {count} layers {layers} keep activations for backward; these are those of all "
        "but one, without what each hands to the next.",
        fix="Checkpoint each layer (torch.utils.checkpoint, or in transformers "
        "model.gradient_checkpointing_enable()): it is computed once more in backward, which takes "
        "about a third longer.",
        device=device.name,
        event=device.peak.event,
        allocations=tuple(spared.tolist()),
    )


def _stacks(device: DeviceAnalysis) -> dict[str, list[_Pass]]:
    """For every list of modules the passes of its members that keep activations at the peak."""
    trace, attribution = device.levels.trace, device.levels.attribution
    rows = trace.allocations
    held = of_category(device, alive(device, device.peak.event), "activations")
    made = np.isin(rows.phase, np.unique(rows.phase[held])) & (rows.sequence < 0)
    kept = set(held.tolist())
    passes: dict[tuple[str, int], _Pass] = {}
    lists: defaultdict[str, dict[int, _Pass]] = defaultdict(dict)
    for index in np.flatnonzero(made & (rows.device == device.levels.number)).tolist():
        for path, layer in _layers(trace.strings[attribution.birth_module[index]]):
            each = passes.setdefault((layer, int(rows.phase[index])), _Pass(layer))
            each.made.append(index)
            if index in kept:
                each.kept.append(index)
                lists[path][id(each)] = each
    return {path: list(found.values()) for path, found in lists.items()}


def _layers(module: str) -> Iterator[tuple[str, str]]:
    """Yields (``model.layers``, ``model.layers.3``) for every list that a module lies within."""
    for match in _LAYER.finditer(module):
        yield module[: match.start()], module[: match.end()]


def _spared(device: DeviceAnalysis, passes: list[_Pass]) -> Ints:
    """What checkpointing spares: of all passes but that with the most, all but their output."""
    inner = [_without_output(device, each) for each in passes]
    inner.remove(max(inner, key=lambda kept: total_bytes(device, kept)))
    return np.sort(np.array([index for kept in inner for index in kept], np.int64))


def _without_output(device: DeviceAnalysis, each: _Pass) -> list[int]:
    """What a pass keeps without its output: the largest result of its last operation.

    Where operations are not known, its last result, but for the statistics of a norm.
    """
    rows = device.levels.trace.allocations
    op = rows.op[each.made[-1]]
    last = [index for index in each.made[-_RESULTS:] if rows.op[index] == op]
    largest = max(last, key=lambda index: int(rows.nbytes[index]))
    if device.levels.trace.strings[op]:
        output = largest
    else:
        output = [i for i in last if _STATISTICS * rows.nbytes[i] >= rows.nbytes[largest]][-1]
    return [index for index in each.kept if index != output]


def _overlap(one: str, other: str) -> bool:
    """Whether one of two lists of modules lies within the other."""
    inside = f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")
    return inside or not one or not other
