"""What a loop keeps from step to step, by the line that makes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.findings.growth import growing_places, step_bounds
from memprof.analyze.findings.places import Place
from memprof.trace.document import Ints


@dataclass(frozen=True, slots=True)
class Leak:
    """A line whose tensors outlive their step, more of them after every step.

    Attributes:
        place: the line, or an operation in a module where no line is known.
        bytes: what is kept of it after the last step.
        bytes_per_step: by how much that grew from step to step, on average.
        held: bytes kept after each step.
        allocations: indices of the tensors that are kept.
        event: number of the last event of the last step.
    """

    place: str
    bytes: int
    bytes_per_step: int
    held: tuple[int, ...]
    allocations: tuple[int, ...]
    event: int


def leaks(device: DeviceAnalysis) -> list[Leak]:
    """Lists the lines that leak, those that keep the most first."""
    bounds = step_bounds(device.levels.trace)
    return [_leak(device, place, bounds) for place in growing_places(device)]


def _leak(device: DeviceAnalysis, place: Place, bounds: Ints) -> Leak:
    rows, kept = device.levels.trace.allocations, place.allocations
    order = np.argsort(rows.birth[kept], kind="stable")
    sums = np.concatenate([[0], np.cumsum(rows.nbytes[kept][order])])
    held = sums[np.searchsorted(rows.birth[kept][order], bounds[1:])]
    return Leak(
        place=place.name,
        bytes=place.bytes,
        bytes_per_step=place.bytes // max(1, len(bounds) - 2),
        held=tuple(held.tolist()),
        allocations=tuple(kept.tolist()),
        event=int(bounds[-1]) - 1,
    )
