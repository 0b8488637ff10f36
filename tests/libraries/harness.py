"""Runs a program of another library under a recorder and holds the recording against its objects.

What a category should hold is the sum over the objects that hold the bytes: the distinct storages
under parameters, `.grad`, an optimizer's state, a cache. Nothing here uses memprof's own search.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

import memprof
from memprof.analyze import Analysis
from memprof.analyze.live import LiveTensor
from memprof.analyze.moment import Moment

RECORDERS = ("native", "dispatch")
UNATTRIBUTED = 0.02
FAULT = "error."

#: Marks a test that nothing but a CUDA device can run.
needs_gpu = (
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
)


@dataclass(frozen=True)
class Claim:
    """What the objects say that a category holds at a moment, in bytes."""

    category: str
    time_ns: int
    expected: int
    where: str


@dataclass
class Watch:
    """What a program is given, to say what it knows while it runs."""

    claims: list[Claim] = field(default_factory=list)

    def holds(self, category: str, *held: Any, where: str = "") -> None:
        """Claims that a category holds exactly the storages under `held` at this moment."""
        claim = Claim(category, time.perf_counter_ns(), bytes_of(held), where)
        self.claims.append(claim)

    def model(self, model: torch.nn.Module, where: str = "") -> None:
        """Claims weights, buffers and gradients of the only model there is."""
        parameters = list(model.parameters())
        own = {id(part) for parameter in parameters for part in parts(parameter)}
        self.holds("weights", parameters, where=where)
        self.holds("buffers", [b for b in model.buffers() if id(b) not in own], where=where)
        self.holds("gradients", [parameter.grad for parameter in parameters], where=where)


Program = Callable[[Watch], None]


@dataclass(frozen=True)
class Recorded:
    """A recording that has been held against its program's claims."""

    analysis: Analysis
    device: str
    claims: list[Claim]

    @property
    def peak(self) -> Moment:
        return self.analysis.device(self.device).peak

    @property
    def end(self) -> Moment:
        return self.analysis.device(self.device).end

    def phases(self) -> list[str]:
        """Names of the phases in the order in which they began."""
        trace = self.analysis.trace
        return [trace.strings[number] for number in trace.phases.name[1:]]

    def highest(self, category: str) -> int:
        """The most bytes that a category ever held."""
        return self.analysis.device(self.device).category_peaks[category].bytes

    def at_highest(self, category: str) -> Moment:
        """The moment at which a category held the most."""
        device = self.analysis.device(self.device)
        return device.at_event(device.category_peaks[category].event)

    def at(self, claim: Claim) -> Moment:
        return self.analysis.device(self.device).at_time(claim.time_ns)


def record(
    program: Program,
    folder: Path,
    recorder: str,
    *,
    device: str = "cpu",
    unattributed: float = UNATTRIBUTED,
) -> Recorded:
    """Runs a program under a recorder and checks all that holds of every program.

    `unattributed` is the part of the peak that may remain so.
    """
    torch.manual_seed(0)
    gc.collect()
    watch = Watch()
    with memprof.trace(folder / "trace.json", recorder=recorder, force=True) as tracing:
        program(watch)
    recorded = Recorded(tracing.analysis, device, watch.claims)
    faults = [remark.text for remark in tracing.trace.warnings if remark.code.startswith(FAULT)]
    assert not faults
    assert watch.claims
    for claim in watch.claims:
        measured = recorded.at(claim).by_category[claim.category]
        assert measured == claim.expected, f"{claim}: {measured}\n{_listed(recorded, claim)}"
    peak = recorded.peak
    assert peak.by_category["unattributed"] < unattributed * peak.requested_bytes, _unknown(peak)
    return recorded


def bytes_of(held: Any) -> int:
    """Bytes of the distinct storages under tensors, lists and dicts of tensors."""
    sizes: dict[int, int] = {}
    for tensor in tensors(held):
        for part in parts(tensor):
            sizes[part.untyped_storage()._cdata] = part.untyped_storage().nbytes()
    return sum(sizes.values())


def tensors(held: Any) -> Iterator[torch.Tensor]:
    """Every tensor in nested lists, tuples and dicts."""
    if isinstance(held, torch.Tensor):
        yield held
    elif isinstance(held, dict):
        yield from tensors(list(held.values()))
    elif isinstance(held, (list, tuple)):
        for item in held:
            yield from tensors(item)


def parts(tensor: torch.Tensor) -> list[torch.Tensor]:
    """The tensors with memory of their own that a tensor consists of."""
    if tensor.device.type == "meta":
        return []
    if not hasattr(tensor, "__tensor_flatten__"):
        return [tensor]
    names, _ = tensor.__tensor_flatten__()
    return [part for name in names for part in parts(getattr(tensor, name))]


def attributes_of(value: Any) -> list[torch.Tensor]:
    """The tensors that an object keeps in its own attributes, in lists and dicts among them."""
    return list(tensors(vars(value)))


def rows(moment: Moment, category: str) -> list[LiveTensor]:
    """What a category holds at a moment, largest first."""
    return [row for row in moment.live().rows() if row.category == category]


def _listed(recorded: Recorded, claim: Claim) -> str:
    return "\n".join(map(_line, rows(recorded.at(claim), claim.category)))


def _unknown(peak: Moment) -> str:
    return "\n".join(map(_line, rows(peak, "unattributed")))


def _line(row: LiveTensor) -> str:
    return f"{row.bytes:>9} {row.name or '-'} {row.op} {row.module} {row.phase} {row.rule}"
