"""What the NVIDIA driver (NVML) said of the devices during a trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from memprof.analyze.samples import series
from memprof.trace import Trace

#: Readings that are not memory, by the last part of their series' names.
READINGS: Final = ("sm_busy_percent", "memory_busy_percent", "power_milliwatts")


def driver_document(trace: Trace) -> dict[str, Any]:
    """Describes every device that NVML was asked about, and why it was not asked.

    Returns:
        `reason` (None where NVML answered, "" where nobody tried), `driver` (its version), and
        `devices`: UUID, name, `device` (its name in PyTorch, None where that is not known), how
        many `samples`, the most bytes in use and in use by this process, how the latter is known
        (`process_bytes_are`), and mean and maximum of readings.
    """
    told = trace.facts_of("nvml")
    about = told[-1] if told else {"reason": ""}
    return {
        "reason": about.get("reason"),
        "driver": about.get("driver"),
        "devices": [_device(trace, uuid) for uuid in _sampled(trace)],
    }


def host_document(trace: Trace) -> dict[str, int | None]:
    """The most bytes of the host's memory that this process and its control group used."""
    names = ("rss_bytes", "pss_bytes", "cgroup_used_bytes", "cgroup_limit_bytes")
    return {f"max_{name}": _highest(trace, f"host/{name}") for name in names}


def uuid_of(trace: Trace, device: str) -> str:
    """The UUID of a CUDA device: what was noted of it, else the only one sampled, else ""."""
    noted = trace.header.get("devices", {}).get(device, {}).get("uuid")
    if isinstance(noted, str):
        return noted
    for about in reversed(trace.facts_of("nvml")):
        for known in about.get("devices", ()):
            if known.get("device") == device:
                return str(known.get("uuid"))
    sampled = _sampled(trace)
    return sampled[0] if len(sampled) == 1 and device.startswith("cuda") else ""


def _sampled(trace: Trace) -> list[str]:
    series = (text.split("/") for text in trace.strings if text.startswith("nvml/"))
    return list(dict.fromkeys(parts[1] for parts in series))


def _device(trace: Trace, uuid: str) -> dict[str, Any]:
    used = series(trace, f"nvml/{uuid}/used_bytes")
    how = [fact["how"] for fact in trace.facts_of("nvml_process") if fact.get("uuid") == uuid]
    about = _about(trace, uuid)
    readings = {name: _reading(trace, f"nvml/{uuid}/{name}") for name in READINGS}
    return {
        "uuid": uuid,
        "name": about.get("name"),
        "device": about.get("device"),
        "samples": len(used),
        "max_used_bytes": int(used.value.max(initial=0)),
        "max_process_bytes": _highest(trace, f"nvml/{uuid}/process_bytes"),
        "process_bytes_are": how[-1] if how else "listed",
        "readings": {name: reading for name, reading in readings.items() if reading},
    }


def _about(trace: Trace, uuid: str) -> Mapping[str, Any]:
    for name, about in trace.header.get("devices", {}).items():
        if about.get("uuid") == uuid:
            return {**about, "device": name}
    told = [known for fact in trace.facts_of("nvml") for known in fact.get("devices", ())]
    return next((known for known in reversed(told) if known.get("uuid") == uuid), {})


def _reading(trace: Trace, name: str) -> dict[str, float] | None:
    found = series(trace, name).value
    return {"mean": float(found.mean()), "max": int(found.max())} if len(found) else None


def _highest(trace: Trace, name: str) -> int | None:
    found = series(trace, name).value
    return int(found.max()) if len(found) else None
