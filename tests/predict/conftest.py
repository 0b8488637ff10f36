"""Programs run with real tensors and with fake ones, and what both asked for."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import memprof
from memprof.trace import Trace
from memprof.trace.schema import ORIGINS
from tests.predict.programs import Program

BEFORE = ORIGINS.index("before")
Request = tuple[int, str]


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """What other tests left behind is none of the program's; one thread is enough."""
    gc.collect()
    gc.freeze()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    gc.unfreeze()


def measured(program: Program, recorder: str = "dispatch") -> Any:
    torch.manual_seed(0)
    with memprof.trace(recorder=recorder) as tracing:
        program()
    gc.collect()
    return tracing


def predicted(program: Program, device: str = "cpu", **options: Any) -> Any:
    with memprof.predict(device=device, **options) as prediction:
        program()
    faults = [remark.text for remark in prediction.trace.warnings if "error." in remark.code]
    assert not faults
    return prediction


def requests(trace: Trace) -> list[Request]:
    """Sizes and operators of births, and of deaths with the size below zero, in their order."""
    rows, events = trace.allocations, trace.events
    return [
        (int(rows.nbytes[number]) * (-1 if freed else 1), trace.strings[rows.op[number]])
        for number, freed in zip(events.allocation, events.freed, strict=True)
        if rows.origin[number] != BEFORE
    ]
