"""Whether a recorded state is one that the allocator's rules can lead to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from memprof.predict.allocator.settings import AllocatorSettings
from memprof.predict.allocator.sizes import (
    LARGE_ROUNDING,
    OWN_SEGMENT_REQUEST,
    SMALL_REQUEST,
    SMALL_SEGMENT,
    rounded_request,
)
from memprof.predict.allocator.states import BlockState, SegmentState


def impossible(
    segments: Iterable[SegmentState], settings: AllocatorSettings
) -> Iterator[tuple[str, str]]:
    """Tells of what the rules cannot have led to, each as what they say and what was recorded."""
    for state in segments:
        if not state.expandable and not _segment_size_is_right(state, settings):
            yield "a segment of another size", f"segment of {state.size:,} bytes"
        for one, other in pairwise(state.blocks):
            if one.use == other.use == "inactive":
                yield "one free block", f"two at {one.address:#x} and {other.address:#x}"
        for block in state.blocks:
            if block.use != "inactive" and not _block_size_is_right(block, state, settings):
                yield (
                    f"a block of {rounded_request(block.requested, settings):,} bytes",
                    f"one of {block.size:,} for a request of {block.requested:,}",
                )


def _segment_size_is_right(state: SegmentState, settings: AllocatorSettings) -> bool:
    if state.small:
        return state.size == SMALL_SEGMENT
    own = state.size >= OWN_SEGMENT_REQUEST and state.size % LARGE_ROUNDING == 0
    return own or state.size == settings.large_segment_bytes


def _block_size_is_right(
    block: BlockState, state: SegmentState, settings: AllocatorSettings
) -> bool:
    """A block is as large as its request, or holds a rest that was too small to be split off."""
    least = rounded_request(block.requested, settings)
    limit = settings.max_split_bytes
    if (least <= SMALL_REQUEST) != state.small:
        return False
    if state.small or state.expandable:
        return block.size == least
    if limit is not None and least >= limit:
        return block.size >= least
    return least <= block.size <= least + SMALL_REQUEST
