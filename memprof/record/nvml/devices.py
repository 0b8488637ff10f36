"""Which of the machine's devices the program can see, found by their UUIDs.

NVML counts devices by their place on the bus and CUDA by their speed, and neither numbers what the
other hides; so a device is known by its UUID alone once CUDA has begun.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memprof.record.nvml.library import DeviceGoneError, Library, NvmlError, RefusedError


@dataclass(frozen=True, slots=True)
class Device:
    """A whole device, or an instance (MIG) of one.

    Attributes:
        uuid: "GPU-..." or "MIG-...".
        handle: what NVML is asked with.
        instances: of a device that is split (MIG).
    """

    uuid: str
    name: str
    handle: Any
    instances: tuple[Device, ...] = ()


@dataclass(frozen=True, slots=True)
class Visible:
    """Devices that the program may use.

    Attributes:
        devices: in CUDA's order where `ordered`, else in that of the bus.
        ordered: whether the place of a device is its CUDA index.
    """

    devices: tuple[Device, ...]
    ordered: bool


def all_devices(library: Library) -> list[Device]:
    """Every device in the order of the bus; without those that do not answer."""
    count = library.ask("nvmlDeviceGetCount")
    found = (_device_at(library, index) for index in range(count))
    return [device for device in found if device is not None]


def visible_devices(devices: Sequence[Device], environ: Mapping[str, str]) -> Visible:
    """What `CUDA_VISIBLE_DEVICES` leaves of the machine's devices, before CUDA has begun.

    An index says which device only where the order is known: by request (`CUDA_DEVICE_ORDER`), or
    where all devices are alike. Otherwise all are returned.
    """
    by_bus = environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    ordered = by_bus or len({device.name for device in devices}) <= 1
    setting = environ.get("CUDA_VISIBLE_DEVICES")
    if setting is None:
        return Visible(tuple(map(_used_part, devices)), ordered)
    chosen: list[Device] = []
    for word in setting.split(","):
        if _is_index(word) and not ordered:
            return Visible(tuple(map(_used_part, devices)), ordered=False)
        device = _named(devices, word.strip())
        if device is None:
            break  # CUDA ignores a word without meaning, and all that follow it
        chosen.append(device)
    several = len({device.uuid for device in chosen}) < len(chosen)
    return Visible(() if several else tuple(chosen), ordered=True)


def cuda_devices(library: Library, uuids: Sequence[str]) -> Visible:
    """The devices that CUDA itself names, in its order."""
    return Visible(tuple(_by_uuid(library, uuid) for uuid in uuids), ordered=True)


def _device_at(library: Library, index: int) -> Device | None:
    try:
        handle = library.ask("nvmlDeviceGetHandleByIndex", index)
        return _described(library, handle, tuple(_instances(library, handle)))
    except (DeviceGoneError, RefusedError):
        return None


def _described(library: Library, handle: Any, instances: tuple[Device, ...] = ()) -> Device:
    name = library.ask("nvmlDeviceGetName", handle)
    return Device(library.ask("nvmlDeviceGetUUID", handle), name, handle, instances)


def _instances(library: Library, handle: Any) -> list[Device]:
    found = []
    try:
        if not library.ask("nvmlDeviceGetMigMode", handle)[0]:
            return []
        for index in range(library.ask("nvmlDeviceGetMaxMigDeviceCount", handle)):
            instance = library.ask("nvmlDeviceGetMigDeviceHandleByIndex", handle, index)
            found.append(_described(library, instance))
    except (DeviceGoneError, RefusedError):
        pass  # no such thing here, or no more of them
    return found


def _by_uuid(library: Library, uuid: str) -> Device:
    """CUDA gives a UUID without saying what it is one of."""
    try:
        return _described(library, library.ask("nvmlDeviceGetHandleByUUID", f"GPU-{uuid}"))
    except NvmlError:
        return _described(library, library.ask("nvmlDeviceGetHandleByUUID", f"MIG-{uuid}"))


def _used_part(device: Device) -> Device:
    """CUDA uses one instance of a split device, the first."""
    return device.instances[0] if device.instances else device


def _named(devices: Sequence[Device], word: str) -> Device | None:
    if _is_index(word):
        index = int(word)
        return _used_part(devices[index]) if 0 <= index < len(devices) else None
    if not word.startswith(("GPU-", "MIG-")):
        return None
    known = [part for device in devices for part in (*device.instances, device)]
    return next((_used_part(device) for device in known if device.uuid.startswith(word)), None)


def _is_index(word: str) -> bool:
    return word.strip().lstrip("-").isdigit()
