"""Claims about CUDA that memprof and its estimates rest on, put to the test one by one."""

from __future__ import annotations

import torch

from . import allocator, caches, driver, history, hooks, kernels, optimizers, streams
from .claim import CONFIRMED, CORRECTED, NOT_DECIDABLE, Bench, Claim, Seen
from .undecidable import undecidable

__all__ = [
    "CLAIMS",
    "CONFIRMED",
    "CORRECTED",
    "NOT_DECIDABLE",
    "Bench",
    "Claim",
    "put_to_the_test",
]

#: The context is measured first, before others fill the card; failures of memory come last.
CLAIMS: tuple[Claim, ...] = (
    *driver.CLAIMS,
    *allocator.CLAIMS,
    *streams.CLAIMS,
    *hooks.CLAIMS,
    *kernels.CLAIMS,
    *optimizers.CLAIMS,
    *caches.CLAIMS,
    *history.CLAIMS,
)


def put_to_the_test(bench: Bench) -> dict[str, Seen]:
    """Every claim's answer: claim, source, measured, verdict; and those that cannot be decided."""
    if bench.device.type == "cuda":
        torch.cuda.init()
    return {**{claim.name: claim.answer(bench) for claim in CLAIMS}, **undecidable()}
