"""Records small programs and asks what was found in them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import torch

import memprof
from memprof.analyze.findings import Finding, findings

RECORDERS = ("dispatch", "native", "native, with operators")


def found(program: Callable[[], Any], recorder: str, kind: str) -> list[Finding]:
    """Findings of one kind in a program that runs while memprof records."""
    gc.collect()
    torch.set_num_threads(1)
    name, _, operators = recorder.partition(", ")
    with memprof.trace(recorder=name, detail="ops" if operators else "modules") as tracing:
        program()
    gc.collect()
    return [finding for finding in findings(tracing.analysis) if finding.kind == kind]


def total(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of some tensors, as PyTorch counts them."""
    return sum(tensor.nbytes for tensor in tensors)


def linears(*sizes: int) -> torch.nn.Sequential:
    """Layers without biases, one after the other."""
    return torch.nn.Sequential(*(torch.nn.Linear(i, o, bias=False) for i, o in pairwise(sizes)))
