"""The largest tensors that a verdict is about, a line each."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path, PurePath

from memprof.analyze.analysis import Analysis
from memprof.analyze.groups import TensorGroup, grouped
from memprof.analyze.live import LiveSet
from memprof.pytest_plugin.recording import Measurement
from memprof.units import format_bytes

LARGEST = 5


def largest(
    measurement: Measurement, device: str, time_ns: int, category: str, *, absolute: bool = False
) -> tuple[str, ...]:
    """The largest tensors at a moment, of all processes; unless `absolute`, the own ones."""
    since = None if absolute else measurement.begin_ns
    found = [*_groups(measurement.analysis, device, time_ns, category, since)]
    for child in measurement.children:
        groups = _groups(child, device, time_ns, category, measurement.begin_ns)
        found += [(group, f"process {child.trace.header.get('pid')}") for group, _ in groups]
    found.sort(key=lambda each: -each[0].bytes)
    return _written(found[:LARGEST])


def lines(live: LiveSet) -> tuple[str, ...]:
    """The largest tensors of a live set: bytes, category, name, dtype and shape, line of code."""
    return _written([(group, "") for group in grouped(live, LARGEST)])


def _groups(
    analysis: Analysis, device: str, time_ns: int, category: str, since: int | None
) -> Iterator[tuple[TensorGroup, str]]:
    if device in analysis.devices:
        live = analysis.device(device).at_time(time_ns).live().only(category, since)
        yield from ((group, "") for group in grouped(live, LARGEST))


def _written(groups: Sequence[tuple[TensorGroup, str]]) -> tuple[str, ...]:
    width = max((len(format_bytes(group.bytes)) for group, _ in groups), default=0)
    return tuple(
        f"{format_bytes(group.bytes):>{width}}  " + "  ".join(filter(None, _parts(group, process)))
        for group, process in groups
    )


def _parts(group: TensorGroup, process: str) -> tuple[str, ...]:
    op = group.op.removeprefix("aten::").removeprefix("aten.").removesuffix(".default")
    maker = f"{group.module} {op}".strip()
    activation = group.category == "activations" and group.module
    name = maker if activation else group.name or maker
    alike = f"({group.count} alike)" if group.count > 1 else ""
    place = _place(group.example.stack)
    return group.category, name, alike, group.tensor, place, process


def _place(stack: list[str]) -> str:
    """File and line that made it; where that is a library's, also one's own that led there."""
    if not stack:
        return ""
    own = next((frame for frame in stack if not _is_library(_file(frame))), stack[0])
    made, led = _short(stack[0]), _short(own)
    return made if own == stack[0] else f"{made} from {led}"


def _file(frame: str) -> str:
    return frame.partition(" ")[0].rpartition(":")[0]


def _short(frame: str) -> str:
    return PurePath(frame.partition(" ")[0]).name


@cache
def _is_library(file: str) -> bool:
    """Whether a file, given below an entry of `sys.path`, was installed and not written here."""
    found = next((root for root in sys.path if (Path(root) / file).is_file()), "")
    return "site-packages" in (Path(found) / file).parts
