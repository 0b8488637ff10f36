"""Continuous against static batching: calls of the model, and tokens held, for the same requests.

python -m samples.lab.batching
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers.generation.configuration_utils import ContinuousBatchingConfig

import memprof
from memprof.estimate.run_parts import Request as EstimatedRequest
from memprof.estimate.serving import continuous_batching, static_batching
from samples.lab.recorded import after_calls
from samples.lab.serving import BYTES_PER_TOKEN, GREEDY, Request, model, serve, stream
from samples.lab.table import Result, Row, main

AT_ONCE = 8
ANSWERS = (4, 8, 8, 16, 16, 32, 64)  # tokens: many short ones, few long ones
PAGING = ContinuousBatchingConfig(
    page_size=16,
    num_blocks=256,
    max_batch_tokens=2048,
    max_requests_per_batch=AT_ONCE,
    allow_block_sharing=False,
)


def measure(quick: bool) -> Result:
    """Serves one stream both ways."""
    requests = stream(16 if quick else 64, 40, ANSWERS)
    groups = [requests[at : at + AT_ONCE] for at in range(0, len(requests), AT_ONCE)]
    static = [generate(group) for group in groups]
    continuous = serve(requests, PAGING).calls
    told = [EstimatedRequest(len(each.prompt), each.new) for each in requests]
    waited, joined = static_batching(told, AT_ONCE).steps, continuous_batching(told, AT_ONCE).steps
    held = [cached for call in continuous for cached in call.tokens]
    reserved = AT_ONCE * (max(len(each.prompt) for each in groups[0]) + longest(groups[0]) - 1)
    rows = [
        Row(
            "Traditional: batch of 32, all must finish together",
            f"longest answer of each of {len(groups)} batches of {AT_ONCE}, summed",
            waited,
            sum(map(len, static)),
            unit="calls",
        ),
        Row(
            "Traditional: memory reserved for all until slowest finishes",
            f"{reserved:,} tokens × {BYTES_PER_TOKEN:,} B, when the first batch ends",
            reserved * BYTES_PER_TOKEN,
            static[0][-1],
        ),
        Row(
            "Continuous: new requests join after each iteration",
            f"{len(requests)} answers on {AT_ONCE} places, the next on the first that is free",
            joined,
            len(continuous),
            unit="calls",
        ),
        Row(
            "Continuous: memory used only for actively generating requests",
            "(Σ l·prompt + l·(l - 1) / 2) / Σ l tokens of each running request, on average",
            live_tokens(requests),
            sum(held) / len(held),
            unit="tokens",
        ),
        Row(
            "2–5x higher throughput in heterogeneous workloads",
            "calls of static / calls of continuous batching",
            waited / joined,
            sum(map(len, static)) / len(continuous),
            unit="x",
        ),
    ]
    return Result("Continuous against static batching", rows, [NOTE])


NOTE = (
    "Time is counted in calls of the model: each reads all weights, whatever the batch. How much "
    "is won is a matter of how unlike the answers are: at most longest / mean length."
)


def generate(group: Sequence[Request]) -> list[int]:
    """Generates as long as the longest answer needs; returns the cache's bytes after each call."""
    width, new = max(len(each.prompt) for each in group), longest(group)
    tokens = torch.tensor([[0] * (width - len(each.prompt)) + each.prompt for each in group])
    with memprof.trace() as tracing:
        model().generate(
            tokens,
            attention_mask=(tokens > 0).long(),
            generation_config=GREEDY,
            max_new_tokens=new,
        )
    return after_calls(tracing, "kv_cache", ("prefill", "decode"))


def longest(group: Sequence[Request]) -> int:
    return max(request.new for request in group)


def live_tokens(requests: Sequence[Request]) -> float:
    """Cached tokens of a request, averaged over all its calls, over all requests."""
    held = sum(r.new * len(r.prompt) + r.new * (r.new - 1) / 2 for r in requests)
    return held / sum(r.new for r in requests)


if __name__ == "__main__":
    main(measure)
