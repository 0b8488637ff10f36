"""The sampler asks a scripted driver through the real pynvml."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from memprof.record.nvml.sampler import INTERVAL_SECONDS, LONGEST_SECONDS, pause
from tests.nvml.conftest import GPU, Machine, Recorded

Make = Callable[[str], Machine]
BOTH = GPU + "device GPU-b 40000 2000 0 H100\n"


def sampled(machine: Machine, turns: int = 3) -> Recorded:
    machine.sampler.start()
    machine.runs(turns)
    return machine.trace()


def test_everything_that_a_device_tells(machine: Make) -> None:
    found = sampled(machine(GPU + "process GPU-a self 700\nprocess GPU-a 1 200\n"))
    assert {name: found.last(f"GPU-a/{name}") for name in NAMES} == NAMES
    assert found.remarks == {}
    device = {"uuid": "GPU-a", "name": "H100", "total_bytes": 80000, "device": "cuda:0"}
    assert found.fact() == {"available": True, "driver": "580.1", "devices": [device]}


NAMES = {
    "used_bytes": 1000,
    "driver_reserved_bytes": 300,
    "process_bytes": 700,
    "other_processes_bytes": 200,
    "sm_busy_percent": 90,
    "memory_busy_percent": 40,
    "power_milliwatts": 350_000,
    "temperature_celsius": 61,
    "sm_clock_mhz": 1980,
    "memory_clock_mhz": 2619,
    "throttle_reasons": 4,
    "ecc_corrected_errors": 0,
    "ecc_uncorrected_errors": 0,
    "pcie_sent_bytes_per_second": 2_000_000,
    "pcie_received_bytes_per_second": 3_000_000,
    "nvlink_sent_bytes": 500 << 10,
    "nvlink_received_bytes": 700 << 10,
}


def test_samples_follow_the_memory(machine: Make) -> None:
    found = sampled(machine(GPU + "curve GPU-a 10 10 50 30\n"))
    used = found.values("GPU-a/used_bytes")
    assert used[0] < 50
    assert max(used) == 50
    assert used[-1] == 30
    times = found.trace.samples.time_ns
    assert (times >= found.trace.begin_ns).all()


def test_several_devices(machine: Make) -> None:
    found = sampled(machine(BOTH))
    assert found.last("GPU-a/used_bytes") == 1000
    assert found.last("GPU-b/used_bytes") == 2000


def test_a_driver_that_knows_the_older_questions_only(machine: Make) -> None:
    old = (
        "error nvmlDeviceGetMemoryInfo_v2 13\nerror nvmlDeviceGetComputeRunningProcesses_v3 13\n"
        "error nvmlDeviceGetTemperatureV 13\nerror nvmlDeviceGetCurrentClocksEventReasons 13\n"
    )
    found = sampled(machine(GPU + "process GPU-a self 700\n" + old))
    assert found.last("GPU-a/used_bytes") == 1300, "the first question counts the driver's own"
    assert found.last("GPU-a/process_bytes") == 700
    assert found.values("GPU-a/driver_reserved_bytes") == []
    assert found.remarks == {}


def test_a_process_that_computes_and_draws_counts_once(machine: Make) -> None:
    found = sampled(machine(GPU + "process GPU-a 7 300\ngraphics GPU-a 7 300\n"))
    assert found.last("GPU-a/other_processes_bytes") == 300


def test_an_instance_offers_less(machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-x")
    scenario = GPU + "mig GPU-a MIG-x 20000 500\nmig GPU-a MIG-y 20000 0\nprocess MIG-x self 400\n"
    found = sampled(machine(scenario))
    assert found.sampled == {"MIG-x"}
    assert (found.last("MIG-x/used_bytes"), found.last("MIG-x/process_bytes")) == (500, 400)
    assert found.values("MIG-x/power_milliwatts") == []
    assert found.remarks == {}, "what an instance does not offer is no news"


def test_cuda_names_its_devices_in_its_own_order(machine: Make) -> None:
    running = machine(BOTH + "mig GPU-a MIG-x 20000 500\n")
    running.cuda = ["b", "x"]
    found = sampled(running)
    named = {about["device"]: about["uuid"] for about in found.fact()["devices"]}
    assert named == {"cuda:0": "GPU-b", "cuda:1": "MIG-x"}


def test_devices_of_cuda_that_nvml_does_not_know(machine: Make) -> None:
    running = machine(GPU + "error nvmlSystemGetDriverVersion 4\n")
    running.cuda = ["elsewhere"]
    found = sampled(running)
    assert found.remarks == {"nvml.devices": 1}
    assert len(found.values("GPU-a/used_bytes")) > 1
    assert found.fact()["driver"] is None


@pytest.mark.parametrize("refused", ["3", "4"])
def test_what_may_not_be_asked_is_said_once(machine: Make, refused: str) -> None:
    asked = "nvmlDeviceGetComputeRunningProcesses"
    errors = f"error {asked}_v3 {refused}\nerror {asked}_v2 {refused}\n"
    found = sampled(machine(GPU + errors))
    assert len(found.values("GPU-a/used_bytes")) > 1
    assert found.values("GPU-a/process_bytes") == []
    assert found.remarks == {"nvml.refused.GPU-a": 1}, "and not asked again"


def test_a_device_that_falls_off_the_bus(machine: Make) -> None:
    running = machine(BOTH)
    running.sampler.start()
    running.runs()
    running.says(BOTH + "error_on GPU-a 15\n")
    running.runs()
    found = running.trace()
    lost, kept = (len(found.values(f"GPU-{name}/used_bytes")) for name in "ab")
    assert 0 < lost < kept
    assert found.remarks == {"nvml.gone.GPU-a": 1}, "and not asked again"


@pytest.mark.parametrize("code", [1, 9, 18])
def test_a_driver_that_goes_away(machine: Make, code: int) -> None:
    running = machine(GPU)
    running.sampler.start()
    running.runs()
    running.says(GPU + f"error nvmlDeviceGetMemoryInfo_v2 {code}\n")
    running.runs(1)
    running.runs(1)
    found = running.trace()
    assert found.values("GPU-a/used_bytes")
    assert list(found.remarks) == ["nvml.driver"]


def test_a_driver_that_is_busy_is_asked_again(machine: Make) -> None:
    running = machine(GPU + "error nvmlDeviceGetMemoryInfo_v2 10\n")
    running.sampler.start()
    running.runs(1)
    running.says(GPU)
    running.runs()
    found = running.trace()
    assert found.last("GPU-a/used_bytes") == 1000
    assert list(found.remarks) == ["nvml.missed.GPU-a"]


def test_a_driver_that_hangs_keeps_nobody_waiting(machine: Make) -> None:
    running = machine(GPU + "hang nvmlDeviceGetUtilizationRates 2500\n")
    running.sampler.start()
    time.sleep(0.2)
    begun = time.monotonic()
    found = running.trace()
    assert time.monotonic() - begun < 2
    assert list(found.remarks) == ["nvml.hang"]
    running.sampler._thread.join()
    assert len(running.journal.tables["samples"]) < 20, "nothing more once it is over"


@pytest.mark.parametrize(
    ("scenario", "reason"),
    [
        ("error nvmlInitWithFlags 9\n", "Driver Not Loaded"),
        ("error nvmlInitWithFlags 18\n", "mismatch"),
        ("error nvmlDeviceGetCount_v2 4\n" + GPU, "Insufficient Permissions"),
        ("", "the driver knows of no device"),
    ],
)
def test_no_driver_is_said_and_the_host_is_sampled(
    machine: Make, scenario: str, reason: str
) -> None:
    found = sampled(machine(scenario), turns=1)
    fact = found.fact()
    assert (fact["available"], fact["devices"]) == (False, [])
    assert reason in fact["reason"]
    assert "host/pss_bytes" in found.trace.strings


def test_sampling_takes_a_small_part_of_the_time() -> None:
    assert pause(0.0) == pause(0.0005) == INTERVAL_SECONDS
    for cost in (0.002, 0.02):
        assert cost / (cost + pause(cost)) == pytest.approx(0.02)
    assert pause(60.0) == LONGEST_SECONDS


def test_this_process_is_known_by_its_number(machine: Make) -> None:
    found = sampled(machine(GPU + f"process GPU-a {os.getpid()} 123\n"))
    assert found.last("GPU-a/process_bytes") == 123
