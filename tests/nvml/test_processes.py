"""Whose bytes are whose, where the driver tells it, hides it, or gives processes other numbers."""

from __future__ import annotations

from collections.abc import Callable

from memprof.record.nvml.processes import Before, Share, before, share
from tests.nvml.conftest import GPU, Machine

OWN = 12
EMPTY = Before(frozenset(), 0)
Make = Callable[[str], Machine]


def test_a_process_that_is_listed() -> None:
    assert share({OWN: 700, 5: 200}, OWN, 1000, None) == Share(700, 200, "listed")


def test_a_process_listed_without_bytes_is_what_the_others_leave() -> None:
    for told in (None, 0):
        assert share({OWN: told, 5: 200}, OWN, 1000, EMPTY) == Share(800, 200, "estimated")


def test_nobody_is_listed() -> None:
    assert share({}, OWN, 1000, None) == Share(1000, 0, "estimated")
    assert share({}, OWN, 1000, before({}, 300)) == Share(700, 0, "estimated")


def test_another_number_that_came_with_this_process() -> None:
    earlier = before({5: 200}, 250)
    assert share({5: 200, 4711: 700}, OWN, 1000, earlier) == Share(700, 200, "foreign")
    assert share({4711: 700}, OWN, 1000, None) == Share(700, 0, "foreign")


def test_another_number_without_bytes() -> None:
    earlier = before({5: 200}, 250)
    assert share({5: 200, 4711: None}, OWN, 1000, earlier) == Share(750, 200, "estimated")


def test_only_others_are_listed() -> None:
    earlier = before({5: 200}, 250)
    assert share({5: 200}, OWN, 1000, earlier) == Share(750, 200, "estimated")


def test_several_that_may_be_this_one() -> None:
    assert share({4711: 700, 4712: 100}, OWN, 1000, None) == Share(None, 800, "unknown")


def test_no_share_is_below_zero() -> None:
    assert share({5: 900}, OWN, 800, before({5: 100}, 100)).own_bytes == 0


def test_a_container_that_gives_processes_other_numbers(machine: Make) -> None:
    running = machine(GPU + "process GPU-a 5 200\n")
    running.sampler.start()
    running.runs()
    running.says(GPU + "process GPU-a 5 200\nprocess GPU-a 4711 700\n")
    running.cuda = ["a"]
    running.runs()
    found = running.trace()
    assert set(found.values("GPU-a/process_bytes")) == {700}
    assert set(found.values("GPU-a/other_processes_bytes")) == {200}
    assert list(found.remarks) == ["nvml.foreign.GPU-a"]
    assert [fact["how"] for fact in found.trace.facts_of("nvml_process")] == ["foreign"]


def test_a_driver_that_tells_no_process_its_bytes(machine: Make) -> None:
    """As under WDDM, and in containers of some drivers."""
    running = machine(GPU)
    running.sampler.start()
    running.runs()
    running.cuda = ["a"]
    running.says(GPU.replace("1000", "1700") + "process GPU-a self na\n")
    running.runs()
    found = running.trace()
    assert found.last("GPU-a/process_bytes") == 700, "1,000 were in use before"
    assert list(found.remarks) == ["nvml.estimated.GPU-a"]
