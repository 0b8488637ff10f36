"""An OutOfMemoryError is explained and goes on as it was."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import memprof
from memprof.analyze.out_of_memory import out_of_memory

MESSAGE = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB"
Fail = Callable[[], None]


def raising() -> None:
    raise torch.OutOfMemoryError(MESSAGE)


def filling_the_host() -> None:
    torch.empty(1 << 60, dtype=torch.uint8)


class Greedy(nn.Module):
    def __init__(self, fail: Fail) -> None:
        super().__init__()
        self.fail = fail

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.fail()
        return x


class GreedyBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, gradient: torch.Tensor) -> torch.Tensor:
        raising()
        return gradient


def run(fail: Fail) -> None:
    model = nn.Sequential(nn.Linear(64, 512), Greedy(fail))
    model(torch.ones(16, 64))


def raised_by(fail: Fail, context: AbstractContextManager[object]) -> tuple[Any, ...]:
    """All that an error is; not the error itself, which keeps tensors alive."""
    try:
        with context:
            run(fail)
    except RuntimeError as error:
        return type(error), error.args, vars(error), error.__cause__, error.__context__
    raise AssertionError("nothing was raised")


def explained(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.strip() for line in capsys.readouterr().err.splitlines()]


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("fail", [raising, filling_the_host])
def test_the_error_goes_on_untouched(fail: Fail, capsys: pytest.CaptureFixture[str]) -> None:
    plain = raised_by(fail, contextlib.nullcontext())
    tracing = memprof.trace()
    assert raised_by(fail, tracing) == plain
    found = out_of_memory(tracing.trace)
    assert found is not None
    assert (found["times"], found["phase"], found["module"]) == (1, "forward", "1")
    held = {name: nbytes for name, nbytes in found["by_category"].items() if nbytes}
    weights = (64 * 512 + 512) * 4
    assert held == {"weights": weights, "inputs": 16 * 64 * 4, "activations": 16 * 512 * 4}
    lines = explained(capsys)
    assert lines[0].startswith("memprof: cpu ran out of memory at ")
    assert any("weights  0.weight" in line for line in lines)


def test_in_backward_outside_of_modules_and_again(capsys: pytest.CaptureFixture[str]) -> None:
    x = torch.ones(8, requires_grad=True)

    def three_times() -> None:
        for _ in range(2):
            with contextlib.suppress(torch.OutOfMemoryError):
                GreedyBackward.apply(x).sum().backward()
        raising()

    with pytest.raises(torch.OutOfMemoryError), memprof.trace() as tracing:
        three_times()
    assert [fact["message"] for fact in tracing.trace.facts_of("out_of_memory")] == [MESSAGE] * 3
    assert "outside every phase" in explained(capsys)[0]


def test_a_program_that_catches_it_is_left_in_peace(capsys: pytest.CaptureFixture[str]) -> None:
    with memprof.trace() as tracing:
        for _ in range(3):
            with pytest.raises(torch.OutOfMemoryError):
                run(raising)
    assert explained(capsys) == []
    assert len(tracing.trace.facts_of("out_of_memory")) == 3


def test_other_errors_are_not_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), memprof.trace() as tracing:
        torch.ones(2) @ torch.ones(3)
    assert explained(capsys) == []
    assert tracing.trace.facts_of("out_of_memory") == []


def test_the_file_is_there_before_the_error_travels_on(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    seen = []
    try:
        with memprof.trace(path):
            try:
                run(raising)
            except torch.OutOfMemoryError:
                seen.append(memprof.load(path))
                raise
    except torch.OutOfMemoryError:
        pass
    assert not seen[0].complete
    assert seen[0].facts_of("out_of_memory")[0]["message"] == MESSAGE


def test_nothing_is_kept_alive() -> None:
    kept: list[weakref.ref[torch.UntypedStorage]] = []

    def fail() -> None:
        large = torch.ones(1000)
        kept.append(weakref.ref(large.untyped_storage()))
        raising()

    with memprof.trace():
        for _ in range(2):
            with contextlib.suppress(torch.OutOfMemoryError):
                run(fail)
            gc.collect()
            assert kept[-1]() is None


def test_a_trace_in_a_file_names_the_next_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.json"
    with pytest.raises(torch.OutOfMemoryError), memprof.trace(path):
        raising()
    assert capsys.readouterr().err.splitlines()[-1] == f"Next: memprof report {path}"
