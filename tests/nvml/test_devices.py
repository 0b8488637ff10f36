"""Which devices `CUDA_VISIBLE_DEVICES` leaves, in CUDA's order, before CUDA itself has begun."""

from __future__ import annotations

import pytest

from memprof.record.nvml.devices import Device, visible_devices

X, Y = Device("MIG-x1", "1g.10gb", 3), Device("MIG-y2", "1g.10gb", 4)
A, B = Device("GPU-a1", "H100", 1), Device("GPU-b2", "H100", 2)
SLOW = Device("GPU-slow", "T4", 5)
SPLIT = Device("GPU-split", "H100", 6, (X, Y))


def chosen(setting: str | None, *devices: Device, order: str = "") -> tuple[list[str], bool]:
    environ = {} if setting is None else {"CUDA_VISIBLE_DEVICES": setting}
    if order:
        environ["CUDA_DEVICE_ORDER"] = order
    found = visible_devices(devices, environ)
    return [device.uuid for device in found.devices], found.ordered


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (None, ["GPU-a1", "GPU-b2"]),
        ("1", ["GPU-b2"]),
        (" 1 , 0", ["GPU-b2", "GPU-a1"]),
        ("GPU-b2", ["GPU-b2"]),
        ("GPU-b", ["GPU-b2"]),  # a prefix will do
        ("", []),
        ("-1", []),
        ("1,-1,0", ["GPU-b2"]),  # what follows a word without meaning does not count
        ("0,7", ["GPU-a1"]),
        ("nonsense", []),
        ("0,0", []),  # CUDA finds no device then
    ],
)
def test_devices_alike(setting: str | None, expected: list[str]) -> None:
    assert chosen(setting, A, B) == (expected, True)


def test_an_index_says_nothing_where_devices_differ() -> None:
    assert chosen("0", SLOW, A) == (["GPU-slow", "GPU-a1"], False)
    assert chosen(None, SLOW, A) == (["GPU-slow", "GPU-a1"], False)
    assert chosen("0", SLOW, A, order="PCI_BUS_ID") == (["GPU-slow"], True)
    assert chosen("GPU-a1", SLOW, A) == (["GPU-a1"], True)


def test_instances() -> None:
    assert chosen("MIG-y2", A, SPLIT) == (["MIG-y2"], True)
    assert chosen("1", A, SPLIT) == (["MIG-x1"], True), "CUDA takes the first"
    assert chosen("GPU-split", A, SPLIT) == (["MIG-x1"], True)
    assert chosen(None, SPLIT) == (["MIG-x1"], True)
