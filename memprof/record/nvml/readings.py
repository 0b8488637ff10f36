"""What else NVML can tell of a device, each reading with how often it is worth its price."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from memprof.record.nvml.library import Library, RefusedError

Values = dict[str, int]
_ALL_LINKS: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Reading:
    """One question to NVML.

    Attributes:
        every: at each how-manieth sample it is asked.
        read: returns values by the last part of their series' names.
    """

    every: int
    read: Callable[[Library, Any], Values]


def memory(library: Library, handle: Any) -> Values:
    """Used bytes, and apart from them those that driver and firmware keep for themselves.

    Drivers before 510 do not tell these two apart.
    """
    version = library.constant("nvmlMemory_v2")
    found = library.first_of(
        lambda: library.ask("nvmlDeviceGetMemoryInfo", handle, version),
        lambda: library.ask("nvmlDeviceGetMemoryInfo", handle),
    )
    values = {"used_bytes": int(found.used), "total_bytes": int(found.total)}
    if hasattr(found, "reserved"):
        values["driver_reserved_bytes"] = int(found.reserved)
    return values


def _utilization(library: Library, handle: Any) -> Values:
    found = library.ask("nvmlDeviceGetUtilizationRates", handle)
    return {"sm_busy_percent": int(found.gpu), "memory_busy_percent": int(found.memory)}


def _power(library: Library, handle: Any) -> Values:
    return {"power_milliwatts": int(library.ask("nvmlDeviceGetPowerUsage", handle))}


def _temperature(library: Library, handle: Any) -> Values:
    sensor = library.constant("NVML_TEMPERATURE_GPU")
    return {
        "temperature_celsius": library.first_of(
            lambda: int(library.ask("nvmlDeviceGetTemperatureV", handle, sensor)),
            lambda: int(library.ask("nvmlDeviceGetTemperature", handle, sensor)),
        )
    }


def _clocks(library: Library, handle: Any) -> Values:
    sm, memory = library.constant("NVML_CLOCK_SM"), library.constant("NVML_CLOCK_MEM")
    return {
        "sm_clock_mhz": int(library.ask("nvmlDeviceGetClockInfo", handle, sm)),
        "memory_clock_mhz": int(library.ask("nvmlDeviceGetClockInfo", handle, memory)),
    }


def _throttling(library: Library, handle: Any) -> Values:
    return {
        "throttle_reasons": library.first_of(
            lambda: int(library.ask("nvmlDeviceGetCurrentClocksEventReasons", handle)),
            lambda: int(library.ask("nvmlDeviceGetCurrentClocksThrottleReasons", handle)),
        )
    }


def _ecc_errors(library: Library, handle: Any) -> Values:
    since_boot = library.constant("NVML_VOLATILE_ECC")
    kinds = ("corrected", "uncorrected")
    types = [library.constant(f"NVML_MEMORY_ERROR_TYPE_{kind.upper()}") for kind in kinds]
    return {
        f"ecc_{kind}_errors": int(
            library.ask("nvmlDeviceGetTotalEccErrors", handle, type_, since_boot)
        )
        for kind, type_ in zip(kinds, types, strict=True)
    }


def _pcie(library: Library, handle: Any) -> Values:
    """Each of the two questions takes the driver some 20 ms."""
    sent, received = (
        library.ask("nvmlDeviceGetPcieThroughput", handle, library.constant(name))
        for name in ("NVML_PCIE_UTIL_TX_BYTES", "NVML_PCIE_UTIL_RX_BYTES")
    )
    return {
        "pcie_sent_bytes_per_second": int(sent) * 1000,
        "pcie_received_bytes_per_second": int(received) * 1000,
    }


def _nvlink(library: Library, handle: Any) -> Values:
    """Bytes over all links since the driver was loaded."""
    fields = [
        (library.constant(f"NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_{way}"), _ALL_LINKS)
        for way in ("TX", "RX")
    ]
    answers = library.ask("nvmlDeviceGetFieldValues", handle, fields)
    if any(answer.nvmlReturn for answer in answers):
        raise RefusedError("no NVLink counters", permission=False)
    sent, received = (int(answer.value.ullVal) << 10 for answer in answers)
    return {"nvlink_sent_bytes": sent, "nvlink_received_bytes": received}


READINGS: Final = (
    Reading(4, _utilization),
    Reading(4, _power),
    Reading(20, _temperature),
    Reading(4, _clocks),
    Reading(4, _throttling),
    Reading(100, _ecc_errors),
    Reading(40, _pcie),
    Reading(20, _nvlink),
)
