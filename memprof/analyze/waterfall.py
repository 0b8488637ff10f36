"""From what tensors asked for up to what the driver reports: five levels of bytes."""

from __future__ import annotations

import numpy as np

from memprof.analyze.moment import Moment
from memprof.trace import Trace

LEVELS = ("requested", "allocated", "reserved", "process", "device")


def waterfall(trace: Trace, device: str, moment: Moment) -> dict[str, int | None]:
    """Gives the bytes of each level of `device` at a moment, from the nearest sample up to then.

    Returns:
        Every one of `LEVELS`, None where nothing was measured. Host memory has only the bytes
        that tensors requested and the process's resident memory.
    """
    process = "host/rss_bytes"
    if device.partition(":")[0] != "cpu":
        process = f"nvml/{_uuid(trace, device)}/process_bytes"
    return {
        "requested": moment.requested_bytes,
        "allocated": level_at(trace, f"{device}/allocated_bytes", moment.time_ns),
        "reserved": level_at(trace, f"{device}/reserved_bytes", moment.time_ns),
        "process": level_at(trace, process, moment.time_ns),
        "device": level_at(trace, f"nvml/{_uuid(trace, device)}/used_bytes", moment.time_ns),
    }


def level_at(trace: Trace, series: str, time_ns: int) -> int | None:
    """The last value that `series` had at `time_ns`; None where it had none yet."""
    if series not in trace.strings:
        return None
    rows = trace.samples
    known = np.flatnonzero((rows.series == trace.strings.index(series)) & (rows.time_ns <= time_ns))
    return int(rows.value[known[np.argmax(rows.time_ns[known])]]) if len(known) else None


def _uuid(trace: Trace, device: str) -> str:
    """The device's NVML name: what the header says, else the only one that was sampled."""
    known = trace.header.get("devices", {}).get(device, {}).get("uuid")
    if isinstance(known, str):
        return known
    if device.partition(":")[0] == "cpu":
        return ""
    sampled = {text.split("/")[1] for text in trace.strings if text.startswith("nvml/")}
    return sampled.pop() if len(sampled) == 1 else ""
