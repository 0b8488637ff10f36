"""Bytes and seconds as charts write them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from memprof_dashboard.amounts import unit_scale


@dataclass(frozen=True, slots=True)
class Scale:
    """The unit of an axis of bytes.

    Attributes:
        unit: its name.
        factor: bytes in one unit.
    """

    unit: str
    factor: int

    def typed(self, nbytes: npt.NDArray[np.int64]) -> dict[str, str]:
        """Encodes bytes in this unit for a chart."""
        return typed_array((nbytes / self.factor).astype(np.float32))


def scale_for(nbytes: int) -> Scale:
    """The unit in which the largest value of an axis has one to four digits before the point."""
    step, names = unit_scale()
    power = 0
    while nbytes >= step ** (power + 1) and power < len(names) - 1:
        power += 1
    return Scale(names[power], step**power)


def typed_array(values: npt.NDArray[Any]) -> dict[str, str]:
    """Encodes a one-dimensional array as the chart library reads it without parsing numbers."""
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    return {
        "dtype": f"{values.dtype.kind}{values.dtype.itemsize}",
        "bdata": base64.b64encode(little.tobytes()).decode("ascii"),
    }


def format_seconds(seconds: float) -> str:
    """Writes a length of time with three digits that matter: "12.3 ms", "1.67 s", "41 min"."""
    if seconds >= 600:
        return f"{seconds / 60:,.0f} min"
    if seconds >= 100 or seconds <= 0:
        return f"{seconds:.0f} s"
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 0.9995:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def format_clock(seconds: float) -> str:
    """Writes a point in time so that neighbouring events can be told apart: "1.672514 s"."""
    return f"{seconds:,.4f} s" if seconds >= 0.1 else f"{seconds * 1e3:.4f} ms"
