"""Bytes by module at one moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.levels import bytes_by_category
from memprof.analyze.live import grouped_names
from memprof.analyze.moment import Moment
from memprof.trace import CATEGORIES


@dataclass(frozen=True, slots=True)
class ModuleRow:
    """What one module, with everything below it, held at a moment.

    Attributes:
        module: its path; "" for tensors of no module.
        bytes: of all categories.
        by_category: every category is there, and they sum to `bytes`.
        count: number of tensors.
    """

    module: str
    bytes: int
    by_category: dict[str, int]
    count: int


def module_table(
    device: DeviceAnalysis, moment: Moment, depth: int | None = None
) -> list[ModuleRow]:
    """Sums the live tensors by the first `depth` parts of their module's path, most bytes first."""
    live, attribution = moment.live(), device.levels.attribution
    module = attribution.module[live.allocations]
    names, group = grouped_names(device.levels.trace.strings, module, depth)
    held = np.zeros((len(names), len(CATEGORIES)), np.int64)
    np.add.at(held, (group, attribution.category[live.allocations]), live.nbytes)
    total, count = held.sum(axis=1), np.bincount(group, minlength=len(names))
    return [
        ModuleRow(names[row], int(total[row]), bytes_by_category(held[row]), int(count[row]))
        for row in np.argsort(-total, kind="stable")
    ]
