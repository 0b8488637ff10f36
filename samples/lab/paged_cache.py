"""A paged KV cache against contiguous reservation, on the same requests; a shared prefix.

python -m samples.lab.paged_cache
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from transformers import StaticCache
from transformers.generation.configuration_utils import ContinuousBatchingConfig

import memprof
from memprof.estimate.run_parts import Request as EstimatedRequest
from memprof.estimate.serving import contiguous as estimate_contiguous
from memprof.estimate.serving import expected_page_waste
from memprof.estimate.serving import paged as estimate_paged
from samples.lab.recorded import highest
from samples.lab.serving import BYTES_PER_TOKEN, CONFIG, Request, Served, model, serve, stream
from samples.lab.table import Result, Row, main

PAGE, BLOCKS, AT_ONCE, PREFIX = 16, 128, 8, 64
TRASH = 2  # blocks of transformers' own, for padding


def measure(quick: bool) -> Result:
    """Serves one stream with pages, with pages and a shared prefix, and reserves for it."""
    number, longest = (12, 60) if quick else (48, 120)
    requests = stream(number, longest, range(10, 50))
    alike = stream(number, longest, range(10, 50), PREFIX)
    rows = [*paged(serve(requests, paging(sharing=False))), *contiguous(requests), *shared(alike)]
    return Result("Paged KV cache", rows, NOTES)


NOTES = (
    "Pages end external fragmentation. Inside the last page of each request (page - 1) / 2 tokens "
    "are wasted on average: the shorter the requests, the more that is.",
    "transformers takes its whole pool at the start: what pages save is what else fits into it.",
)


def paging(*, sharing: bool) -> ContinuousBatchingConfig:
    return ContinuousBatchingConfig(
        page_size=PAGE,
        num_blocks=BLOCKS,
        max_batch_tokens=1024,
        max_requests_per_batch=AT_ONCE,
        allow_block_sharing=sharing,
    )


def paged(served: Served) -> Iterator[Row]:
    page_bytes, full = PAGE * BYTES_PER_TOKEN, served.fullest
    now, wasted = estimate_paged(at_once(full.tokens), PAGE), expected_page_waste(PAGE)
    yield Row(
        "beside it: the whole pool",
        f"({BLOCKS} blocks + {TRASH}) × {PAGE} tokens × {BYTES_PER_TOKEN:,} B",
        (BLOCKS + TRASH) * page_bytes,
        highest(served.tracing, "kv_cache"),
    )
    yield Row(
        "PagedAttention: allocates pages on demand",
        f"{now.formula} × {BYTES_PER_TOKEN:,} B, of {len(full.tokens)} requests at the fullest",
        now.bytes(BYTES_PER_TOKEN),
        full.blocks * page_bytes,
    )
    held = [sum(call.tokens) for call in served.calls]
    length = sum(held) / sum(len(call.tokens) for call in served.calls)
    yield Row(
        "5–10% fragmentation",
        f"{wasted} / (n + {wasted}) at n = {length:.0f} tokens a request",
        100 * wasted / (length + wasted),
        100 * (1 - sum(held) / sum(call.blocks * PAGE for call in served.calls)),
        unit="%",
        within=0.1,
    )


def contiguous(requests: Sequence[Request]) -> Iterator[Row]:
    """A place for the longest request in every row, as transformers' static cache reserves it."""
    first = requests[:AT_ONCE]
    longest = max(request.cached for request in requests)
    reserved = reservation(len(first), longest)
    told = estimate_contiguous(at_once([request.cached for request in first]), longest)
    yield Row(
        "Traditional: pre-allocates max sequence length per request",
        f"{told.formula} × {BYTES_PER_TOKEN:,} B + 4 counters × 8 B",
        told.bytes(BYTES_PER_TOKEN) + 4 * 8,
        reserved,
    )
    used = sum(request.cached for request in first) * BYTES_PER_TOKEN
    yield Row(
        "30–50% memory fragmentation is common",
        f"1 - mean length / longest, at the end of {len(first)} requests",
        100 * told.waste,
        100 * (1 - used / reserved),
        unit="%",
        within=0.001,
    )


def reservation(batch: int, slots: int) -> int:
    llama, cache = model(), StaticCache(CONFIG, max_cache_len=slots)
    with memprof.trace() as tracing, torch.no_grad():
        llama(torch.ones(batch, 1, dtype=torch.int64), past_key_values=cache)
    return highest(tracing, "kv_cache")


def shared(requests: Sequence[Request]) -> Iterator[Row]:
    """The pages of a prefix that all requests have exist once."""
    served, page_bytes = serve(requests, paging(sharing=True)), PAGE * BYTES_PER_TOKEN
    later = [call for call in served.calls[1:] if len(call.tokens) == AT_ONCE]
    full = max(later, key=lambda call: sum(call.tokens))
    told = estimate_paged(at_once(full.tokens), PAGE, PREFIX)
    alone = estimate_paged(at_once(full.tokens), PAGE)
    yield Row(
        "supports prefix caching (common prompt reuse)",
        f"({told.formula}) × {BYTES_PER_TOKEN:,} B, where {alone.reserved // PAGE} pages would be "
        "needed without",
        told.bytes(BYTES_PER_TOKEN),
        full.blocks * page_bytes,
    )


def at_once(tokens: Sequence[int]) -> list[EstimatedRequest]:
    """Requests that have so many tokens in the cache."""
    return [EstimatedRequest(length - 1, 1) for length in tokens]


if __name__ == "__main__":
    main(measure)
