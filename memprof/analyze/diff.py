"""Two traces held against each other: what grew between them, by category, module and tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from memprof.analyze.analysis import Analysis
from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.groups import grouped, pattern
from memprof.analyze.modules import module_table
from memprof.analyze.report import trace_document
from memprof.trace import CATEGORIES

SCHEMA = 1
Key = TypeVar("Key")
TensorKey = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """A number of bytes, or of tensors, in the first trace and in the second."""

    before: int
    after: int

    @property
    def growth(self) -> int:
        """By how much it is more in the second; negative where it is less."""
        return self.after - self.before

    @property
    def percent(self) -> float | None:
        """The same in percent of the first; None where there was nothing and now is something."""
        if self.before:
            return 100 * self.growth / self.before
        return None if self.after else 0.0


@dataclass(frozen=True, slots=True)
class CategoryChange:
    """One category.

    Attributes:
        highest: its own high-water mark in each run.
        at_peak: what it held at each run's peak.
    """

    category: str
    highest: Change
    at_peak: Change


@dataclass(frozen=True, slots=True)
class ModuleChange:
    """What a module held at each run's peak; numbers in its path are "*", so alike ones are one."""

    module: str
    bytes: Change


@dataclass(frozen=True, slots=True)
class TensorChange:
    """Tensors of one kind, alive at each run's peak: same category, name, module and operation.

    Attributes:
        name, module: with every number written "*".
        tensor: dtype and shape of one of them, of the second run where it has any.
        place: file and line that made it, "" where not recorded.
        bytes: of all of them together.
        count: how many they are.
    """

    category: str
    name: str
    module: str
    op: str
    tensor: str
    place: str
    bytes: Change
    count: Change


@dataclass(frozen=True, slots=True)
class DeviceDiff:
    """What changed on one device; lists have what changed alone, what changed most first.

    Attributes:
        peak: the highest total of each run.
        end: what was held when each run ended.
        categories: all of them, in the order of `CATEGORIES`.
    """

    device: str
    peak: Change
    end: Change
    categories: tuple[CategoryChange, ...]
    modules: tuple[ModuleChange, ...]
    tensors: tuple[TensorChange, ...]


def diff(before: Analysis, after: Analysis) -> tuple[DeviceDiff, ...]:
    """Holds two runs against each other, device by device; a device may be in one of them only."""
    names = dict.fromkeys([*before.devices, *after.devices])
    return tuple(_device(name, _on(before, name), _on(after, name)) for name in names)


def diff_document(before: Analysis, after: Analysis) -> dict[str, Any]:
    """The difference as plain data: what ``memprof diff --json`` prints."""
    return {
        "schema": SCHEMA,
        "before": {**trace_document(before.trace), "complete": before.trace.complete},
        "after": {**trace_document(after.trace), "complete": after.trace.complete},
        "devices": {found.device: _document(found) for found in diff(before, after)},
    }


def _on(analysis: Analysis, name: str) -> DeviceAnalysis | None:
    return analysis.device(name) if name in analysis.devices else None


def _device(name: str, before: DeviceAnalysis | None, after: DeviceAnalysis | None) -> DeviceDiff:
    def change(read: Callable[[DeviceAnalysis], int]) -> Change:
        return Change(*(0 if device is None else read(device) for device in (before, after)))

    return DeviceDiff(
        device=name,
        peak=change(lambda device: device.peak.requested_bytes),
        end=change(lambda device: device.end.requested_bytes),
        categories=tuple(_category(category, change) for category in CATEGORIES),
        modules=_modules(before, after),
        tensors=_tensors(before, after),
    )


def _category(
    name: str, change: Callable[[Callable[[DeviceAnalysis], int]], Change]
) -> CategoryChange:
    return CategoryChange(
        name,
        change(lambda device: device.category_peaks[name].bytes),
        change(lambda device: device.peak.by_category[name]),
    )


def _modules(
    before: DeviceAnalysis | None, after: DeviceAnalysis | None
) -> tuple[ModuleChange, ...]:
    changes = _changes(_module_bytes(before), _module_bytes(after))
    rows = [ModuleChange(name, change) for name, change in changes.items() if change.growth]
    return tuple(sorted(rows, key=lambda row: (-abs(row.bytes.growth), row.module)))


def _module_bytes(device: DeviceAnalysis | None) -> dict[str, int]:
    held: dict[str, int] = {}
    for row in module_table(device, device.peak) if device is not None else ():
        name = pattern(row.module)
        held[name] = held.get(name, 0) + row.bytes
    return held


@dataclass(slots=True)
class _Kind:
    """Tensors of one kind in one run."""

    tensor: str
    place: str
    bytes: int = 0
    count: int = 0


def _tensors(
    before: DeviceAnalysis | None, after: DeviceAnalysis | None
) -> tuple[TensorChange, ...]:
    old, new = _kinds(before), _kinds(after)
    sizes = _changes(_each(old, "bytes"), _each(new, "bytes"))
    counts = _changes(_each(old, "count"), _each(new, "count"))
    rows = []
    for key, change in sizes.items():
        example = new.get(key) or old[key]
        if change.growth:
            rows.append(TensorChange(*key, example.tensor, example.place, change, counts[key]))
    return tuple(sorted(rows, key=lambda row: (-abs(row.bytes.growth), row.module, row.name)))


def _kinds(device: DeviceAnalysis | None) -> dict[TensorKey, _Kind]:
    kinds: dict[TensorKey, _Kind] = {}
    for group in grouped(device.peak.live()) if device is not None else ():
        key = (group.category, pattern(group.name), pattern(group.module), group.op)
        place = group.example.stack[0] if group.example.stack else ""
        kind = kinds.setdefault(key, _Kind(group.tensor, place))
        kind.bytes += group.bytes
        kind.count += group.count
    return kinds


def _each(kinds: Mapping[TensorKey, _Kind], attribute: str) -> dict[TensorKey, int]:
    return {key: getattr(kind, attribute) for key, kind in kinds.items()}


def _changes(before: Mapping[Key, int], after: Mapping[Key, int]) -> dict[Key, Change]:
    keys: Iterable[Key] = dict.fromkeys([*before, *after])
    return {key: Change(before.get(key, 0), after.get(key, 0)) for key in keys}


def _document(found: DeviceDiff) -> dict[str, Any]:
    return {
        "peak": change_document(found.peak),
        "end": change_document(found.end),
        "categories": {
            row.category: {
                "highest": change_document(row.highest),
                "at_peak": change_document(row.at_peak),
            }
            for row in found.categories
        },
        "modules": [{"module": row.module, **change_document(row.bytes)} for row in found.modules],
        "tensors": [_tensor_document(row) for row in found.tensors],
    }


def _tensor_document(row: TensorChange) -> dict[str, Any]:
    return {
        "category": row.category,
        "name": row.name,
        "module": row.module,
        "op": row.op,
        "tensor": row.tensor,
        "place": row.place,
        **change_document(row.bytes),
        "before_count": row.count.before,
        "after_count": row.count.after,
    }


def change_document(change: Change) -> dict[str, Any]:
    """A change of bytes as plain data."""
    return {
        "before_bytes": change.before,
        "after_bytes": change.after,
        "growth_bytes": change.growth,
        "growth_percent": change.percent,
    }
