"""Serving many requests: what caches waste, contiguous against paged, static against continuous.

Kwon et al., Efficient Memory Management for LLM Serving with PagedAttention, 2309.06180; Yu et al.,
Orca, OSDI 2022. All figures follow from the requests' lengths: nothing is assumed about their
distribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from memprof.errors import UsageError
from memprof.estimate.run_parts import Request, Serving


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a cache holds for some requests, and how much of it has tokens.

    Attributes:
        reserved: slots, in tokens.
        used: tokens.
        formula: how the slots come about.
    """

    reserved: int
    used: int
    formula: str

    @property
    def waste(self) -> float:
        """Share of the slots without a token, 0 to 1."""
        return 1 - self.used / self.reserved if self.reserved else 0.0

    def bytes(self, bytes_per_token: int) -> int:
        """Bytes of all slots."""
        return self.reserved * bytes_per_token


@dataclass(frozen=True, slots=True)
class Batching:
    """How a number of places was used by a stream of requests.

    Attributes:
        steps: calls of the model until the last request ended.
        places: sequences that a call can have.
        tokens: that were generated.
        peak_tokens: cached at once at most.
    """

    steps: int
    places: int
    tokens: int
    peak_tokens: int

    @property
    def utilisation(self) -> float:
        """Share of the places of all calls that made a token, 0 to 1."""
        return self.tokens / (self.steps * self.places) if self.steps else 0.0


def contiguous(requests: Sequence[Request], longest: int) -> Reservation:
    """Every request has slots for the longest there may be.

    Args:
        requests: that are there at once.
        longest: tokens of prompt and answer that one may have.

    Raises:
        UsageError: if a request is longer.
    """
    if any(request.length > longest for request in requests):
        raise UsageError(f"a request is longer than the {longest} tokens there is room for")
    used = sum(request.length for request in requests)
    return Reservation(len(requests) * longest, used, f"{len(requests)} requests × {longest} slots")


def paged(requests: Sequence[Request], block: int, prefix: int = 0) -> Reservation:
    """Every request has pages for the tokens it has: the last page alone can have room.

    Args:
        requests: that are there at once.
        block: tokens of a page.
        prefix: tokens at the beginning that all have in common, kept once. Only whole pages are
            shared.
    """
    if block < 1:
        raise UsageError(f"block is {block}: a page holds at least 1 token")
    shared = prefix // block * block
    own = [math.ceil((request.length - shared) / block) for request in requests]
    pages = sum(own) + shared // block
    used = sum(request.length - shared for request in requests) + shared
    text = f"{sum(own)} pages × {block} tokens"
    if shared:
        text += f" + {shared // block} pages of a common beginning"
    return Reservation(pages * block, used, text)


def expected_page_waste(block: int) -> float:
    """Slots that a request wastes on average: (B−1)/2 where all rests of a page are as likely."""
    return (block - 1) / 2


def static_batching(requests: Sequence[Request], places: int) -> Batching:
    """Requests in batches, in order: a batch lasts as long as its longest answer."""
    _check(places)
    batches = [requests[at : at + places] for at in range(0, len(requests), places)]
    return Batching(
        steps=sum(max(request.new for request in batch) for batch in batches),
        places=places,
        tokens=sum(request.new for request in requests),
        peak_tokens=max((_longest_all(batch) for batch in batches), default=0),
    )


def continuous_batching(requests: Sequence[Request], places: int) -> Batching:
    """A place is taken by the next request as soon as one ends; every call makes a token each."""
    _check(places)
    waiting, running = list(reversed(requests)), list[list[int]]()
    steps = tokens = peak = 0
    while waiting or running:
        while waiting and len(running) < places:
            request = waiting.pop()
            running.append([request.prompt, request.new])
        steps += 1
        for place in running:
            place[0], place[1] = place[0] + 1, place[1] - 1
        tokens += len(running)
        peak = max(peak, sum(held for held, _ in running))
        running = [place for place in running if place[1] > 0]
    return Batching(steps, places, tokens, peak)


def _longest_all(batch: Sequence[Request]) -> int:
    """Static batching keeps every request padded to the longest until the batch ends."""
    longest = max(request.prompt for request in batch) + max(request.new for request in batch)
    return longest * len(batch)


def _check(places: int) -> None:
    if places < 1:
        raise UsageError(f"places is {places}: a call has at least 1 sequence")


@dataclass(frozen=True, slots=True)
class Served:
    """What serving some requests takes, in four ways.

    Attributes:
        contiguous, paged: caches for as many requests at once as a call has.
        static, continuous: how the places of the calls are used.
    """

    contiguous: Reservation
    paged: Reservation
    static: Batching
    continuous: Batching


def served(serving: Serving, places: int, block: int) -> Served:
    """What serving takes: caches of the first requests that run at once, and the whole stream.

    Args:
        serving: the requests.
        places: sequences of a call.
        block: tokens of a page.

    Raises:
        UsageError: if there is no request, or one that is longer than there is room for.
    """
    if not serving.requests:
        raise UsageError("no requests to serve")
    longest = serving.longest or max(request.length for request in serving.requests)
    together = serving.requests[:places]
    return Served(
        contiguous(together, longest),
        paged(together, block, serving.prefix),
        static_batching(serving.requests, places),
        continuous_batching(serving.requests, places),
    )
