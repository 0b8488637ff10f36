"""What NVML would tell of the devices here, as `memprof doctor` says it."""

from __future__ import annotations

import os
from typing import Final

from memprof.health import MISSING, OK, Check
from memprof.record.nvml.devices import Visible, all_devices, visible_devices
from memprof.record.nvml.library import Library, NvmlError
from memprof.record.nvml.processes import running
from memprof.record.nvml.readings import memory
from memprof.units import format_bytes

_INSTEAD: Final = "the host's memory is sampled instead"


def diagnose_nvml() -> Check:
    """Asks the driver for its devices, their memory and their processes."""
    try:
        library = Library()
        devices = all_devices(library)
    except NvmlError as error:
        return Check("NVML", MISSING, f"{error}: {_INSTEAD}")
    if not devices:
        return Check("NVML", MISSING, f"the driver knows of no device: {_INSTEAD}")
    visible = visible_devices(devices, os.environ)
    if not visible.devices:
        return Check("NVML", MISSING, f"CUDA_VISIBLE_DEVICES hides every device: {_INSTEAD}")
    return Check("NVML", OK, _told(library, visible))


def _told(library: Library, visible: Visible) -> str:
    driver = library.ask("nvmlSystemGetDriverVersion")
    used = [f"{device.name} {_used(library, device.handle)}" for device in visible.devices]
    return f"driver {driver}; {', '.join(used)}; {_processes(library, visible)}"


def _used(library: Library, handle: object) -> str:
    try:
        told = memory(library, handle)
    except NvmlError as error:
        return f"({error})"
    return f"({format_bytes(told['used_bytes'])} of {format_bytes(told['total_bytes'])} in use)"


def _processes(library: Library, visible: Visible) -> str:
    try:
        told = [running(library, device.handle) for device in visible.devices]
    except NvmlError as error:
        return f"processes are not told ({error}), so this one's bytes are estimated"
    if any(nbytes is None for processes in told for nbytes in processes.values()):
        return "processes are listed without their bytes, so this one's are estimated"
    return f"processes listed: {sum(map(len, told))}"
