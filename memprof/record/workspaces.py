"""Measures what an operator uses inside itself, by running it under PyTorch's profiler once.

A dispatch hook sees only what an operator returns. On the CPU, where no allocator can be asked,
each operator's first calls run with the profiler's memory events on. An operator that was seen
to use memory of its own is measured again for every new size of its arguments, and afterwards
counted with what was measured. On CUDA the allocator's own statistics take this place.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.autograd import profiler as torch_profiler

from memprof.record.journal import Journal, now_ns
from memprof.record.scopes import Scope

FIRST_CALLS = 2
MAX_SIZES = 64
NEGLIGIBLE_BYTES = 1024
profiler: Any = torch_profiler
_LOG_LEVEL = "KINETO_LOG_LEVEL"
_taken: list[object] = []


class Workspaces:
    """The operators under observation.

    Attributes:
        probed: operators (string numbers) whose calls go through `run`, with the calls left.
    """

    def __init__(self, journal: Journal) -> None:
        self.probed: dict[int, int] = {}
        self._extra: dict[tuple[int, object], int] = {}
        self._latest: dict[int, int] = {}
        self._sizes: dict[int, int] = {}
        self._rows = journal.tables["workspaces"].add
        self._cpu = journal.strings.number("cpu")

    def consider(self, func: torch._ops.OpOverload, op: int) -> None:
        """Puts a new operator under observation for its first calls.

        PyTorch's profiler complains on stderr of memory freed under it that it has not seen
        allocated; `set_` does nothing but free.
        """
        if func.namespace == "aten" and func._schema.name != "aten::set_":
            self.probed[op] = FIRST_CALLS

    def run(self, func: Callable[..., Any], args: Any, kwargs: Any, op: int) -> tuple[Any, int]:
        """Runs the operator; returns its result and the bytes it used inside beyond the result."""
        key = (op, _shapes(args))
        extra = self._extra.get(key)
        if extra is not None or not self._measurable(args, op):
            return func(*args, **kwargs), extra or self._latest.get(op, 0)
        result, extra = measured(lambda: func(*args, **kwargs))
        self._learn(key, op, extra)
        return result, extra

    def note(self, extra: int, op: int, scope: Scope) -> None:
        """Notes that a call just made used `extra` bytes over what it returned."""
        if extra > NEGLIGIBLE_BYTES:
            self._rows((now_ns(), extra, op, scope.module, scope.phase, self._cpu))

    def _measurable(self, args: Any, op: int) -> bool:
        first = next((value for value in args if isinstance(value, torch.Tensor)), None)
        on_cpu = first is None or first.device.type == "cpu"
        return on_cpu and self._sizes.get(op, 0) < MAX_SIZES and profiler_is_free()

    def _learn(self, key: tuple[int, object], op: int, extra: int) -> None:
        if extra > NEGLIGIBLE_BYTES:
            self._latest[op] = extra
        if op in self._latest:
            self._extra[key] = extra
            self._sizes[op] = self._sizes.get(op, 0) + 1
            return
        self.probed[op] -= 1
        if not self.probed[op]:
            del self.probed[op]


def profiler_is_free() -> bool:
    """Whether PyTorch's profiler can be used now: it belongs to one thread and one user."""
    on_main_thread = threading.get_ident() == threading.main_thread().ident
    enabled = torch._C._autograd._profiler_enabled() or profiler._is_profiler_enabled
    return on_main_thread and not enabled and not _taken


@contextmanager
def profiler_taken() -> Iterator[None]:
    """Says that something else has the profiler's place for now: nothing new is measured."""
    _taken.append(None)
    try:
        yield
    finally:
        _taken.pop()


def measured(call: Callable[[], Any]) -> tuple[Any, int]:
    """Runs `call`; returns its result and how far its memory rose over what it left behind."""
    config = profiler.ProfilerConfig(
        profiler.ProfilerState.KINETO,
        False,
        True,
        False,
        False,
        False,
        profiler._ExperimentalConfig(),
    )
    activities = {profiler.ProfilerActivity.CPU}
    with _quiet_profiler():
        profiler._prepare_profiler(config, activities)
        profiler._enable_profiler(config, activities)
    try:
        result = call()
    finally:
        with _quiet_profiler():
            events = profiler._disable_profiler().events()
    return result, _rise([event.nbytes() for event in events if event.name() == "[memory]"])


def _rise(changes: list[int]) -> int:
    level = highest = 0
    for change in changes:
        level += change
        highest = max(highest, level)
    return highest - max(0, level)


def _shapes(args: Any) -> tuple[object, ...]:
    return tuple(value.shape for value in args if isinstance(value, torch.Tensor))


@contextmanager
def _quiet_profiler() -> Iterator[None]:
    """Keeps the profiler's library from announcing itself on the program's stderr."""
    before = os.environ.get(_LOG_LEVEL)
    if before is None:
        os.environ[_LOG_LEVEL] = "99"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_LOG_LEVEL]
