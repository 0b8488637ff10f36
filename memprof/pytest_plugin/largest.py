"""The largest tensors that a verdict is about, a line each."""

from __future__ import annotations

from pathlib import PurePath

from memprof.analyze.groups import TensorGroup, grouped
from memprof.analyze.live import LiveSet
from memprof.pytest_plugin.recording import Measurement
from memprof.units import format_bytes

LARGEST = 5


def largest(
    measurement: Measurement, device: str, time_ns: int, category: str, *, absolute: bool = False
) -> tuple[str, ...]:
    """The largest tensors at a moment, alike ones on one line; unless `absolute`, the own ones."""
    if device not in measurement.analysis.devices:
        return ()
    live = measurement.analysis.device(device).at_time(time_ns).live()
    return lines(live.only(category, None if absolute else measurement.begin_ns))


def lines(live: LiveSet) -> tuple[str, ...]:
    """The largest tensors of a live set: bytes, category, name, dtype and shape, line of code."""
    groups = grouped(live, LARGEST)
    width = max((len(format_bytes(group.bytes)) for group in groups), default=0)
    return tuple(_line(group, width) for group in groups)


def _line(group: TensorGroup, width: int) -> str:
    op = group.op.removeprefix("aten::").removeprefix("aten.").removesuffix(".default")
    maker = f"{group.module} {op}".strip()
    activation = group.category == "activations" and group.module
    name = maker if activation else group.name or maker
    alike = f"({group.count} alike)" if group.count > 1 else ""
    parts = [group.category, name, alike, group.tensor, _place(group.example.stack)]
    return f"{format_bytes(group.bytes):>{width}}  " + "  ".join(filter(None, parts))


def _place(stack: list[str]) -> str:
    """File and line of the innermost frame that is not a library's, the file without its folder."""
    own = [frame for frame in stack if "site-packages" not in frame] or stack
    return PurePath(own[0].partition(" ")[0]).name if own else ""
