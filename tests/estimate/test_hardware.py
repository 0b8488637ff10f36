"""The catalogue of machines: plausible, sourced, dense, and found under the names people use."""

import pytest

from memprof.errors import UsageError
from memprof.estimate.hardware import all_hardware, hardware

GIB = 2**30


@pytest.mark.parametrize(
    ("name", "capacity", "bandwidth", "dense_bfloat16"),
    [
        ("a100", 80e9, 2.039e12, 312e12),
        ("H100", 80e9, 3.35e12, 989.4e12),
        ("h200", 141e9, 4.8e12, 989.4e12),
        ("b200", 180e9, 8e12, 2250e12),
        ("rtx 4090", 24e9, 1.008e12, 165.2e12),
        ("gh200", 96e9, 4e12, 989.4e12),
        ("MI300X", 192e9, 5.3e12, 1307.4e12),
    ],
)
def test_what_the_data_sheets_say(
    name: str, capacity: float, bandwidth: float, dense_bfloat16: float
) -> None:
    device = hardware(name)
    assert (device.capacity, device.bandwidth) == (capacity, bandwidth)
    assert device.flops_of("bfloat16") == dense_bfloat16


def test_every_value_has_a_source() -> None:
    for device in all_hardware(projections=True):
        needed = {"capacity", "bandwidth", *(f"flops.{dtype}" for dtype in device.flops)}
        needed |= {f"{name}" for name in ("device_link", "host_link") if getattr(device, name)}
        assert needed <= set(device.sources), device.key
        assert all(device.sources.values())


def test_usable_bytes_are_close_to_what_is_sold() -> None:
    for device in all_hardware():
        assert device.usable is not None
        assert 0.98 < device.usable / device.capacity < 1.074, device.key


def test_half_the_width_is_twice_as_fast_and_no_faster() -> None:
    """A sparse figure among dense ones would show as a factor of four."""
    for device in all_hardware():
        half, byte = device.flops["bfloat16"], device.flops.get("float8")
        assert byte is None or byte / half == pytest.approx(2, rel=0.01), device.key
        if device.flops["tf32"] != device.flops["float32"]:
            assert half / device.flops["tf32"] == pytest.approx(2, rel=0.03), device.key


def test_the_hierarchy_slows_down_and_grows() -> None:
    for device in all_hardware():
        speeds = [level.bandwidth for level in device.levels if level.bandwidth is not None]
        assert speeds == sorted(speeds, reverse=True), device.key
        sizes = [level.capacity for level in device.levels if level.capacity is not None]
        assert sizes == sorted(sizes), device.key


def test_ridge_point_of_an_h100() -> None:
    assert hardware("h100").ridge("bfloat16") == pytest.approx(295.3, abs=0.1)


def test_plans_are_marked_and_not_among_the_rest() -> None:
    assert hardware("hbm4").projection
    assert hardware("hbm4").flops_of("bfloat16") is None
    assert "hbm4-512gb" not in {device.key for device in all_hardware()}


def test_an_unknown_machine_names_the_closest() -> None:
    with pytest.raises(UsageError, match="did you mean h100"):
        hardware("h1000")
    with pytest.raises(UsageError, match="known are"):
        hardware("zzzz")
