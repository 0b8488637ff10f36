"""What the driver said of the devices, one line each; what stands in for it where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType

from memprof.cli.render.parts import heading, indented, plural, size

Data = Mapping[str, Any]


def driver(document: Data) -> Iterator[RenderableType]:
    """A line for every device that NVML was asked about, or why it was not and what was instead."""
    nvml = document["nvml"]
    lines = [driver_line(device) for device in nvml["devices"]]
    if nvml["reason"]:
        lines = [f"No NVML: {nvml['reason']}. Host memory was sampled instead: {_host(document)}."]
    if lines:
        yield heading("As the driver sees it" if nvml["devices"] else "Outside of PyTorch")
        yield from map(indented, lines)


def driver_line(device: Data) -> str:
    """``NVIDIA H200 (cuda:0): 12 samples, at most 70 GiB in use, 60 GiB by this process``."""
    name = device["name"] or device["uuid"]
    where = f" ({device['device']})" if device["device"] else ""
    most = f"at most {size(device['max_used_bytes'])} in use"
    own = device["max_process_bytes"]
    about = "about " if device["process_bytes_are"] == "estimated" else ""
    mine = "" if own is None else f", {about}{size(own)} by this process"
    return f"{name}{where}: {plural(device['samples'], 'sample')}, {most}{mine}{_readings(device)}"


def _readings(device: Data) -> str:
    readings = device["readings"]
    told = []
    if "sm_busy_percent" in readings:
        told.append(f"SMs busy {readings['sm_busy_percent']['mean']:.0f} % of the time")
    if "power_milliwatts" in readings:
        told.append(f"{readings['power_milliwatts']['mean'] / 1000:.0f} W")
    return f"; {', '.join(told)}" if told else ""


def _host(document: Data) -> str:
    host = document["host"]
    resident = f"at most {size(host['max_rss_bytes'])} resident"
    proportional = host["max_pss_bytes"]
    limit = host["max_cgroup_limit_bytes"]
    shared = "" if proportional is None else f", {size(proportional)} as its share of it (PSS)"
    group = ", no limit of a control group"
    if limit is not None:
        used = size(host["max_cgroup_used_bytes"])
        group = f", {used} used of the control group's {size(limit)}"
    return resident + shared + group
