"""What only the allocator observer can do: every thread, every block, every free."""

from __future__ import annotations

import os
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

import memprof
from memprof.record.native import build
from memprof.record.session import active
from memprof.trace import ORIGINS, Trace

THREADS, ROUNDS = 8, 3000
BIG = 64 << 20  # mapped from the system: what is mapped next takes its address


@pytest.fixture(autouse=True, params=["native"])
def recorder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MEMPROF_RECORDER", request.param)
    return str(request.param)


def sizes(trace: Trace) -> Counter[int]:
    return Counter(trace.allocations.nbytes.tolist())


def test_eight_threads_lose_nothing() -> None:
    def work(number: int) -> None:
        for turn in range(ROUNDS):
            held = torch.empty(1000 + number, dtype=torch.uint8)
            if turn % 7 == 0:
                kept[number].append(held)

    kept: list[list[torch.Tensor]] = [[] for _ in range(THREADS)]
    with memprof.trace() as traced:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        held = sum(tensor.nbytes for tensors in kept for tensor in tensors)
        session = active()
        assert session is not None
        live = session.live_bytes()
    seen = sizes(traced.trace)
    assert [seen[1000 + number] for number in range(THREADS)] == [ROUNDS] * THREADS
    alive = traced.trace.allocations.death == len(traced.trace.events)
    ours = (traced.trace.allocations.nbytes >= 1000) & (traced.trace.allocations.nbytes < 1008)
    assert traced.trace.allocations.nbytes[alive & ours].sum() == held
    assert live >= held
    counts = traced.trace.summary["observer"]
    assert (counts["lost"], counts["missed_frees"]) == (0, 0)


def test_what_one_thread_makes_and_another_frees() -> None:
    handed: list[torch.Tensor] = []
    with memprof.trace() as traced:
        maker = threading.Thread(target=lambda: handed.append(torch.empty(70_000)))
        maker.start()
        maker.join()
        handed.clear()
    (place,) = np.flatnonzero(traced.trace.allocations.nbytes == 280_000)
    assert traced.trace.allocations.death[place] < len(traced.trace.events)


def test_a_free_that_nobody_saw_is_noted_when_the_address_comes_again() -> None:
    begun, finish = threading.Event(), threading.Event()
    handed: list[torch.Tensor] = []

    def free() -> None:
        begun.wait()
        handed.clear()
        finish.set()

    unseen = threading.Thread(target=free)
    unseen.start()
    with memprof.trace() as traced:
        handed.append(torch.empty(BIG, dtype=torch.uint8))
        address = handed[0].data_ptr()
        begun.set()
        finish.wait()
        again = torch.empty(BIG, dtype=torch.uint8)
        same = again.data_ptr() == address
    unseen.join()
    assert same, "the allocator chose another address; the test shows nothing"
    assert traced.trace.summary["observer"]["missed_frees"] == 1
    assert "missed_frees" in {remark.code for remark in traced.trace.warnings}
    first, second = np.flatnonzero(traced.trace.allocations.nbytes == BIG)
    assert traced.trace.allocations.death[first] < traced.trace.allocations.birth[second] + 1


def test_memory_inside_an_operator_is_seen() -> None:
    matrix = torch.randn(64, 64)
    with memprof.trace(detail="ops") as traced:
        torch.linalg.svd(matrix)
    trace = traced.trace
    made = np.flatnonzero(trace.allocations.origin == ORIGINS.index("operation"))
    assert len(made) > 3  # more blocks than the three that it returns
    assert {trace.strings[trace.allocations.op[place]] for place in made} >= {
        "aten._linalg_svd.default",
        "aten.zeros.default",
    }


def test_python_stacks_of_large_blocks(tmp_path: Path) -> None:
    source = tmp_path / "größe.py"
    source.write_text("import torch\n\ndef make():\n    return torch.empty(100_000)\n")
    code: dict[str, object] = {}
    exec(compile(source.read_text(), str(source), "exec"), code)
    with memprof.trace(tmp_path / "t.json") as traced:
        held = code["make"]()  # type: ignore[operator]
    (place,) = np.flatnonzero(traced.trace.allocations.nbytes == held.nbytes)
    details = traced.trace.details
    stack = traced.trace.strings[int(details.stack[details.allocation == place][-1])]
    here, caller = stack.splitlines()[:2]
    assert here.endswith("größe.py:4 make")
    assert caller.endswith("test_python_stacks_of_large_blocks")


def test_small_blocks_have_no_stacks() -> None:
    with memprof.trace(stack_bytes="1 MiB") as traced:
        torch.empty(100_000)
    assert not len(traced.trace.details.stack)


def test_a_forked_child_goes_on_unrecorded() -> None:
    with memprof.trace() as traced:
        torch.empty(1234, dtype=torch.uint8)
        child = os.fork()
        if child == 0:
            torch.empty(4321, dtype=torch.uint8)
            os._exit(7 if active() is None else 8)
        _, status = os.waitpid(child, 0)
        torch.empty(2345, dtype=torch.uint8)
    assert os.waitstatus_to_exitcode(status) == 7
    seen = sizes(traced.trace)
    assert (seen[1234], seen[2345], seen[4321]) == (1, 1, 0)


@pytest.mark.usefixtures("alone")
def test_the_programs_own_profiler_is_stood_in_for_and_said_so() -> None:
    before = torch.empty(11_111, dtype=torch.uint8)
    with memprof.trace() as traced:
        gone = torch.empty(22_222, dtype=torch.uint8)
        with torch.profiler.profile(profile_memory=True) as profiled:
            del gone, before
            torch.empty(33_333, dtype=torch.uint8)
            stays = torch.empty(44_444, dtype=torch.uint8)
        after = torch.empty(55_555, dtype=torch.uint8)
    trace = traced.trace
    events = len(trace.events)
    ends = dict(
        zip(trace.allocations.nbytes.tolist(), trace.allocations.death.tolist(), strict=True)
    )
    assert ends[11_111] < events
    assert ends[22_222] < events
    assert ends[33_333] < events
    assert ends[stays.nbytes] == ends[after.nbytes] == events
    assert "profiler" in {remark.code for remark in trace.warnings}
    assert any("empty" in event.key for event in profiled.key_averages())


def test_a_profiler_can_run_after_the_recording() -> None:
    with memprof.trace():
        torch.empty(10)
    with torch.profiler.profile() as profiled:
        torch.empty(10)
    assert profiled.key_averages()


def test_recording_under_a_profiler_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMPROF_RECORDER", "auto")
    with torch.profiler.profile(), memprof.trace() as traced:
        torch.empty(10)
    assert traced.trace.header["recorder"] == "dispatch"
    assert "torch.profiler" in traced.trace.header["recorder_reason"]


def test_two_recordings_are_two() -> None:
    with memprof.trace() as first:
        held = torch.empty(12_345, dtype=torch.uint8)
    with memprof.trace() as second:
        torch.empty(23_456, dtype=torch.uint8)
        del held
    assert sizes(first.trace)[12_345] == 1
    assert sizes(first.trace)[23_456] == 0
    (place,) = np.flatnonzero(second.trace.allocations.nbytes == 12_345)
    assert ORIGINS[second.trace.allocations.origin[place]] == "before"
    assert second.trace.allocations.death[place] < len(second.trace.events)


def test_the_observer_is_built_for_this_torch() -> None:
    assert build.cached_path().exists()
    assert build.load().counts()["lost"] == 0
