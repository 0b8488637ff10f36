"""What a machine is: what it holds, moves and computes, from `catalog/hardware.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from memprof.errors import UsageError
from memprof.estimate.closest import closest


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a memory hierarchy.

    Attributes:
        name: "L1", "L2", "L3", "memory", "host" or "NVMe".
        capacity: bytes of the whole device; None where it is not the device's own.
        bandwidth: bytes per second; None where nobody has published it.
    """

    name: str
    capacity: int | None
    bandwidth: float | None


@dataclass(frozen=True)
class Hardware:
    """One device.

    Attributes:
        key: its name on command lines and in JSON, such as "h100-80gb".
        name: as it is sold.
        aliases: other names it is found under.
        capacity: bytes as sold.
        usable: bytes that CUDA or HIP says the device has; None where nobody has said.
        bandwidth: of its memory, bytes per second.
        flops: dense operations per second by dtype.
        device_link, host_link: bytes per second, in one direction, to its peers and to the host;
            None where there is no such link.
        levels: the memory hierarchy, fastest first.
        projection: whether it is a plan, or a part that nobody sells as such.
        sources: where each value is from, by name: "capacity", "flops.float8", "levels.L2", ...
    """

    key: str
    name: str
    aliases: tuple[str, ...]
    capacity: int
    usable: int | None
    bandwidth: float
    flops: Mapping[str, float]
    device_link: float | None
    host_link: float | None
    levels: tuple[Level, ...]
    projection: bool
    sources: Mapping[str, str]

    @property
    def holds(self) -> int:
        """Bytes that can be allocated at most: `usable` where it is known, else as sold."""
        return self.usable or self.capacity

    def flops_of(self, dtype: str) -> float | None:
        """Dense operations per second at a dtype, or at float16 where it has none for it."""
        name = "float8" if dtype.startswith("float8") else dtype
        return self.flops.get(name) or self.flops.get("float16")

    def ridge(self, dtype: str) -> float | None:
        """FLOP per byte above which the device computes longer than it reads."""
        flops = self.flops_of(dtype)
        return None if flops is None else flops / self.bandwidth


def hardware(name: str | Hardware) -> Hardware:
    """A device of the catalogue.

    Args:
        name: its key or an alias, in any case.

    Raises:
        UsageError: if there is none of that name; the closest names are in the message.
    """
    if isinstance(name, Hardware):
        return name
    wanted = name.strip().lower().replace("_", "-").replace(" ", "-")
    for device in _catalogue():
        if wanted in (device.key, *device.aliases):
            return device
    names = [name for device in _catalogue() for name in (device.key, *device.aliases)]
    raise UsageError(f"GPU {name!r} is not in the catalogue; {closest(wanted, names)}")


def all_hardware(*, projections: bool = False) -> tuple[Hardware, ...]:
    """Every device of the catalogue, those that are plans only where they are asked for."""
    return tuple(device for device in _catalogue() if projections or not device.projection)


@cache
def _catalogue() -> tuple[Hardware, ...]:
    text = files("memprof.estimate.catalog").joinpath("hardware.toml").read_text("utf-8")
    document = tomllib.loads(text)
    known = document["sources"]
    return tuple(_device(key, row, known) for key, row in document["machines"].items())


def _device(key: str, row: Mapping[str, Any], known: Mapping[str, str]) -> Hardware:
    def number(name: str) -> Any:
        return row[name][0] if name in row else None

    usable = number("usable")
    return Hardware(
        key=key,
        name=row["name"],
        aliases=tuple(row.get("aliases", ())),
        capacity=int(row["capacity"][0]),
        usable=None if usable is None else int(usable),
        bandwidth=row["bandwidth"][0],
        flops={dtype: value for dtype, (value, _) in row.get("flops", {}).items()},
        device_link=number("device_link"),
        host_link=number("host_link"),
        levels=_levels(row),
        projection=bool(row.get("projection", False)),
        sources={name: known[source] for name, source in _sources(row)},
    )


def _levels(row: Mapping[str, Any]) -> tuple[Level, ...]:
    told = row.get("levels", {})
    own = {name: _level(name, told[name]) for name in told}
    own["memory"] = Level("memory", int(row["capacity"][0]), row["bandwidth"][0])
    if "host_link" in row:
        capacity = own["host"].capacity if "host" in own else None
        own["host"] = Level("host", capacity, row["host_link"][0])
    return tuple(own[name] for name in ("L1", "L2", "L3", "memory", "host", "NVMe") if name in own)


def _level(name: str, told: Mapping[str, Any]) -> Level:
    capacity = told.get("capacity")
    bandwidth = told.get("bandwidth")
    return Level(
        name,
        None if capacity is None else int(capacity[0]),
        None if bandwidth is None else float(bandwidth[0]),
    )


def _sources(row: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Every value of a machine by its dotted name, with the name of its source."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _sources(value, f"{prefix}{name}.")
        elif isinstance(value, list) and name != "aliases":
            yield f"{prefix}{name}", value[1]
