"""Modules, phases and steps as a recorded program shows them."""

import threading
from collections.abc import Callable

import pytest
import torch
from torch import nn

import memprof
from memprof.trace import Trace


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 16)
        self.rest = nn.Sequential(nn.GELU(), nn.Linear(16, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rest(self.first(x))


def phases_of(trace: Trace) -> list[str]:
    return [trace.strings[number] for number in trace.phases.name[1:]]


def modules_by_op(trace: Trace, op: str) -> list[str]:
    allocations = trace.allocations
    chosen = [i for i in range(len(allocations)) if trace.strings[allocations.op[i]] == op]
    return [trace.strings[allocations.module[i]] for i in chosen]


def train(turns: int, micro: int = 1, after_turn: Callable[[], None] = lambda: None) -> Trace:
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with memprof.trace(detail="ops") as traced:
        for _ in range(turns):
            for _ in range(micro):
                net(torch.randn(2, 8)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
            after_turn()
    return traced.trace


def test_training_is_forward_backward_optimizer() -> None:
    trace = train(2)
    assert phases_of(trace) == ["load", *("forward", "backward", "optimizer") * 2]
    assert (trace.phases.end_ns[1:] >= trace.phases.begin_ns[1:]).all()


def test_a_step_ends_with_the_optimizer_whatever_the_accumulation() -> None:
    assert len(train(3, micro=2).steps) == 3


def test_optimizers_that_step_inside_backward_end_one_step_together() -> None:
    net = Net()
    hooks = []
    for parameter in net.parameters():
        optimizer = torch.optim.SGD([parameter], lr=0.1)
        step = parameter.register_post_accumulate_grad_hook(lambda _, o=optimizer: o.step())
        hooks.append(step)
    with memprof.trace(detail="ops") as traced:
        for _ in range(3):
            net(torch.randn(2, 8)).sum().backward()
            net.zero_grad()
    for hook in hooks:
        hook.remove()  # else each parameter and its optimizer keep each other for good
    assert len(traced.trace.steps) == 3


def test_declared_steps_replace_guessed_ones() -> None:
    turns = iter(range(6))

    def every_second_turn() -> None:
        if next(turns) % 2:
            memprof.step()

    assert len(train(6, after_turn=every_second_turn).steps) == 3


def test_allocations_carry_their_module() -> None:
    assert modules_by_op(train(1), "aten.addmm.default") == ["first", "rest.1"]


def test_a_module_that_raises_is_left() -> None:
    net = Net()
    with memprof.trace(detail="ops") as traced:
        with pytest.raises(RuntimeError):
            net(torch.randn(2, 7))
        net(torch.randn(2, 8))
        torch.randn(3)
    trace = traced.trace
    assert modules_by_op(trace, "aten.addmm.default") == ["first", "rest.1"]
    assert modules_by_op(trace, "aten.randn.default")[-1] == ""
    assert phases_of(trace) == ["load", "forward", "forward"]


def test_an_interrupted_call_is_left_at_the_end_of_the_step() -> None:
    class Interrupted(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise KeyboardInterrupt

    net = Net()
    with memprof.trace(detail="ops") as traced:
        with pytest.raises(KeyboardInterrupt):
            nn.Sequential(nn.Linear(8, 8), Interrupted())(torch.randn(2, 8))
        memprof.step()
        net(torch.randn(2, 8))
        torch.randn(5)
    trace = traced.trace
    assert phases_of(trace) == ["load", "forward", "forward"]
    assert trace.strings[trace.phases.name[trace.allocations.phase[-1]]] == ""


def test_user_phases_nest_and_close_on_exceptions() -> None:
    with memprof.trace(detail="ops") as traced:
        with pytest.raises(ZeroDivisionError), memprof.phase("outer"), memprof.phase("inner"):
            _ = 1 / 0
        with memprof.phase("next"):
            torch.zeros(4)
    trace = traced.trace
    assert phases_of(trace) == ["load", "outer", "inner", "next"]
    assert trace.phases.parent.tolist()[1:] == [0, 0, 2, 0]
    assert trace.strings[trace.phases.name[trace.allocations.phase[-1]]] == "next"


def test_phase_works_as_decorator_and_without_a_recording() -> None:
    @memprof.phase("decorated")
    def work() -> int:
        torch.zeros(4)
        return 7

    assert work() == 7
    with memprof.trace(detail="ops") as traced:
        assert work() == 7
    assert phases_of(traced.trace) == ["load", "decorated"]


def test_a_second_model_is_told_apart_by_its_class() -> None:
    draft, target = Net(), Net()
    with memprof.trace(detail="ops") as traced:
        draft(torch.randn(2, 8))
        target(torch.randn(2, 8))
    modules = set(modules_by_op(traced.trace, "aten.addmm.default"))
    assert len(modules) == 4
    assert any(module.startswith("Net#2.") for module in modules)


def test_a_thread_from_before_the_recording_is_named(recorder: str) -> None:
    net, begun, finish = Net(), threading.Event(), threading.Event()

    def work() -> None:
        begun.wait()
        net(torch.randn(2, 8))
        finish.set()

    early = threading.Thread(target=work, name="early bird")
    early.start()
    with memprof.trace(detail="ops") as traced:
        begun.set()
        finish.wait()
    early.join()
    remarks = {remark.code: remark.text for remark in traced.trace.warnings}
    assert "early bird" in remarks["thread"]
    seen = ["first", "rest.1"] if recorder == "native" else []  # from its first module call on
    assert modules_by_op(traced.trace, "aten.addmm.default") == seen


def test_threads_have_phases_of_their_own() -> None:
    net = Net()
    with memprof.trace(detail="ops") as traced:
        threads = [
            threading.Thread(target=lambda: net(torch.randn(2, 8)).sum().backward())
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    trace = traced.trace
    assert sorted(phases_of(trace)) == sorted(["load", *("forward", "backward") * 3])
    assert modules_by_op(trace, "aten.addmm.default").count("first") == 3
