"""What `memprof doctor` says of the driver."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memprof.record.nvml.diagnosis import diagnose_nvml
from tests.nvml.conftest import GPU, Machine

Make = Callable[[str], Machine]
ASKED = "nvmlDeviceGetComputeRunningProcesses"
REFUSED = f"error {ASKED}_v3 4\nerror {ASKED}_v2 4\n"


@pytest.mark.parametrize(
    ("scenario", "text"),
    [
        ("error nvmlInitWithFlags 9\n", "Driver Not Loaded: the host's memory is sampled instead"),
        ("", "the driver knows of no device: the host's memory is sampled instead"),
        (GPU, "driver 580.1; H100 (1000 B of 78.12 KiB in use); processes listed: 0"),
        (GPU + "process GPU-a 1 7\n", "processes listed: 1"),
        (GPU + "process GPU-a 1 na\n", "listed without their bytes, so this one's are estimated"),
        (GPU + REFUSED, "processes are not told (Insufficient Permissions), so this one's bytes"),
        (GPU + "error_on GPU-a 15\n", "the driver knows of no device"),
    ],
)
def test_one_line(machine: Make, scenario: str, text: str) -> None:
    machine(scenario)
    found = diagnose_nvml()
    assert text in found.text
    assert (found.state == "ok") == ("driver 580.1" in found.text)


def test_every_device_may_be_hidden(machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    machine(GPU)
    assert diagnose_nvml().text.startswith("CUDA_VISIBLE_DEVICES hides every device")
