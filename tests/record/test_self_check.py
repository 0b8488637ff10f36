"""What recording adds to a step, as the trace says it and as PyTorch's profiler counts it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch.autograd import profiler as torch_profiler

import memprof
from memprof.analyze.self_check import self_check
from memprof.analyze.steps import step_table
from memprof.record.labels.inputs import RootCalls
from memprof.record.self_check import PLAN
from tests.record.looped import (
    EmptyMode,
    Step,
    checkpointed,
    compiled,
    conv,
    gpt,
    plain,
    shared,
)

STEPS = len(PLAN)
Counts = tuple[int, int, int]
native_only = pytest.mark.parametrize("recorder", ["native"], indirect=True)
dispatch_only = pytest.mark.parametrize("recorder", ["dispatch"], indirect=True)


def run(
    step: Step, steps: int = STEPS, within: AbstractContextManager[object] | None = None
) -> Any:
    """Traces so many steps; returns the recording."""
    with memprof.trace(self_check=True) as recording, within or nullcontext():
        for _ in range(steps):
            step()
    return recording


def found(recording: Any) -> dict[str, Any]:
    check = self_check(recording.trace)
    assert check is not None
    return check


def counts(steps: list[dict[str, int]]) -> set[Counts]:
    return {(step["allocations"], step["bytes"], step["peak_bytes"]) for step in steps}


def profiled(step: Step) -> Counts:
    """The profiler's own account of a step; that before it tells the profiler sizes of blocks."""
    step()
    step()
    for _ in range(2):
        with torch.profiler.profile(profile_memory=True) as profile:
            step()
    events = profile.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = [event.nbytes() for event in events if event.name() == "[memory]"]
    births = [change for change in changes if change > 0]
    return len(births), sum(births), max(_levels(changes))


def _levels(changes: list[int]) -> Iterator[int]:
    level = 0
    for change in changes:
        level += change
        yield level


@native_only
@pytest.mark.parametrize("program", [gpt, conv, checkpointed, compiled])
def test_the_observer_adds_nothing(program: Callable[[], Step]) -> None:
    recording = run(program())
    device = found(recording)["devices"]["cpu"]
    assert device["verdict"] == "equal"
    assert device["added_bytes"] == device["added_allocations"] == device["added_peak_bytes"] == 0
    assert [remark.code for remark in recording.trace.warnings] == ["self_check"]


@pytest.mark.parametrize("program", [gpt, conv, checkpointed])
def test_steps_without_recording_are_what_the_profiler_counts(
    program: Callable[[], Step],
) -> None:
    device = found(run(program()))["devices"]["cpu"]
    assert counts(device["steps_without"]) == {profiled(program())}


@dispatch_only
@pytest.mark.parametrize("program", [gpt, shared, checkpointed])
def test_the_hook_adds_what_any_mode_adds(program: Callable[[], Step]) -> None:
    device = found(run(program()))["devices"]["cpu"]
    with EmptyMode():
        under_a_mode = profiled(program())
    assert device["verdict"] == "differs"
    assert counts(device["steps_with"]) == {under_a_mode}
    allocations, nbytes, peak = (
        mode - alone for mode, alone in zip(under_a_mode, profiled(program()), strict=True)
    )
    assert device["added_allocations"] == allocations > 0
    assert device["added_bytes"] == nbytes > 0
    assert device["added_peak_bytes"] == peak


def test_a_hook_that_allocates_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(run(plain()))["devices"]["cpu"]["verdict"] == "equal"
    called = RootCalls.called

    def allocating(calls: RootCalls, scope: Any, module: torch.nn.Module) -> None:
        torch.empty(250), torch.empty(250)
        called(calls, scope, module)

    monkeypatch.setattr(RootCalls, "called", allocating)
    device = found(run(plain()))["devices"]["cpu"]
    assert device["verdict"] == "differs"
    assert (device["added_allocations"], device["added_bytes"]) == (2, 2000)


def test_a_program_whose_own_steps_differ_is_not_judged() -> None:
    even, odd = plain(), gpt()
    steps = iter([even, odd] * STEPS)
    assert found(run(lambda: next(steps)()))["devices"]["cpu"]["verdict"] == "unsteady"


def test_too_few_steps_are_said() -> None:
    check = found(run(plain(), STEPS - 1))
    assert f"needs {STEPS} whole steps" in check["reason"]
    assert f"saw {STEPS - 1};" in check["reason"]


def test_the_trace_goes_on_as_it_began() -> None:
    recording = run(plain(), STEPS + 3)
    rows = step_table(recording.analysis.device("cpu"))
    peaks = [row.peak_bytes for row in rows]
    assert len(rows) == STEPS + 3
    assert len({peaks[1], *peaks[5:7], *peaks[STEPS + 1 :]}) == 1


@pytest.mark.parametrize("place", [PLAN.index("p"), PLAN.rindex("P")])
def test_what_a_pause_leaves_behind_is_in_the_trace(place: int) -> None:
    step, turns, kept = plain(), iter(range(STEPS + 1)), []

    def keeping() -> None:
        if next(turns) == place:
            kept.append(torch.empty(123_457, dtype=torch.int8))
        step()

    recording = run(keeping, STEPS + 1)
    rows = step_table(recording.analysis.device("cpu"))
    assert rows[STEPS].peak_bytes - rows[1].peak_bytes == 123_457


@native_only
def test_nothing_that_was_allocated_in_a_pause_is_missing() -> None:
    recording = run(plain(), STEPS + 1)
    assert len({row.peak_bytes for row in step_table(recording.analysis.device("cpu"))[1:]}) == 1
    assert recording.trace.summary["observer"]["unknown_frees"] == 0
    assert recording.trace.summary["observer"]["missed_frees"] == 0


def test_declared_steps_go_before_guessed_ones() -> None:
    step = plain()

    def twice() -> None:
        step()
        step()
        memprof.step()

    device = found(run(twice))["devices"]["cpu"]
    once = found(run(step))["devices"]["cpu"]["without"]
    assert device["without"]["allocations"] == 2 * once["allocations"]


def test_a_mode_of_the_programs_own_keeps_the_hook_where_it_is(recorder: str) -> None:
    check = found(run(plain(), within=EmptyMode()))
    if recorder == "dispatch":
        assert "dispatch mode of its own" in check["reason"]
    else:
        assert check["devices"]["cpu"]["verdict"] == "equal"
    assert torch._C._len_torch_dispatch_stack() == 0


@pytest.mark.parametrize("place", range(2, STEPS))
def test_the_programs_own_profiler_goes_first(place: int) -> None:
    step, turns = plain(), iter(range(STEPS + 2))
    seen = []

    def profiling() -> None:
        with torch.profiler.profile() if next(turns) == place else nullcontext() as profile:
            step()
        if profile is not None:
            seen.append(len(profile.events()))

    check = found(run(profiling, STEPS + 2))
    assert seen
    assert seen[0] > 0
    assert "torch.profiler ran" in check["reason"]
    assert not torch_profiler._is_profiler_enabled
    assert torch._C._len_torch_dispatch_stack() == 0


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch, recorder: str) -> None:
    if recorder == "native":
        pytest.skip("the native recorder itself needs it")
    from memprof.record.native import build

    def load(announce: object) -> None:
        raise build.UnavailableError("no C++ compiler")

    monkeypatch.setattr(build, "load", load)
    assert "no C++ compiler" in found(run(plain()))["reason"]


@dispatch_only
def test_pausing_the_hook_does_not_compile_again() -> None:
    torch._dynamo.utils.counters.clear()
    assert found(run(compiled()))["devices"]["cpu"]["verdict"] == "equal"
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_every_token_of_a_generation_is_a_step(recorder: str) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        vocab_size=64,
    )
    model = transformers.LlamaForCausalLM(config).eval()
    prompt = torch.randint(3, 60, (2, 8))

    def generate(tokens: int) -> None:
        model.generate(prompt, max_new_tokens=tokens, do_sample=False, eos_token_id=None)

    with memprof.trace(self_check=True) as recording:
        generate(STEPS + 2)
    device = found(recording)["devices"]["cpu"]
    assert [step["step"] for step in device["steps_without"]] == [3, 4, 7, 8]
    modes = EmptyMode() if recorder == "dispatch" else nullcontext()
    with modes:
        per_token = profiled(lambda: generate(6))[0] - profiled(lambda: generate(5))[0]
    assert {step["allocations"] for step in device["steps_with"]} == {per_token}
    assert device["verdict"] == ("equal" if recorder == "native" else "differs")
