"""The rules one by one, with numbers worked out by hand."""

from __future__ import annotations

import pytest

from memprof.errors import OutOfDeviceMemoryError, UsageError
from memprof.predict.allocator import CachingAllocator, parse_settings, segment_map, statistics

MIB = 1 << 20


def allocator(settings: str = "", capacity: int | None = None) -> CachingAllocator:
    return CachingAllocator(parse_settings(settings), capacity)


def blocks(model: CachingAllocator) -> list[list[tuple[int, str]]]:
    return [[(b.size, b.use) for b in segment.blocks] for segment in segment_map(model)]


def test_small_requests_share_a_segment() -> None:
    model = allocator()
    first = model.malloc(1)
    assert model.malloc(513) == first + 512
    assert model.malloc(MIB) == first + 512 + 1024
    assert model.levels.reserved == 2 * MIB
    assert model.levels.allocated == 512 + 1024 + MIB
    assert model.levels.requested == 1 + 513 + MIB


@pytest.mark.parametrize(
    ("nbytes", "segment"),
    [
        (MIB, 2 * MIB),
        (MIB + 1, 20 * MIB),
        (10 * MIB - 512, 20 * MIB),
        (10 * MIB - 511, 10 * MIB),
        (10 * MIB, 10 * MIB),
        (10 * MIB + 1, 12 * MIB),
    ],
)
def test_segments_by_request(nbytes: int, segment: int) -> None:
    model = allocator()
    model.malloc(nbytes)
    assert model.levels.reserved == segment


def test_a_rest_of_one_mebibyte_stays_with_a_large_block() -> None:
    model = allocator()
    model.free(model.malloc(12 * MIB))
    model.malloc(11 * MIB)
    assert model.levels.allocated == 12 * MIB
    model = allocator()
    model.free(model.malloc(12 * MIB))
    model.malloc(11 * MIB - 512)
    assert model.levels.allocated == 11 * MIB - 512


def test_neighbours_merge() -> None:
    model = allocator()
    three = [model.malloc(4 * MIB) for _ in range(3)]
    model.free(three[0])
    model.free(three[2])
    assert blocks(model) == [
        [(4 * MIB, "inactive"), (4 * MIB, "active_allocated"), (12 * MIB, "inactive")]
    ]
    model.free(three[1])
    assert blocks(model) == [[(20 * MIB, "inactive")]]


def test_fragmented_is_what_cannot_be_given_back() -> None:
    model = allocator()
    held = model.malloc(4 * MIB)
    model.free(model.malloc(30 * MIB))
    assert model.levels.fragmented == 16 * MIB
    model.empty_cache()
    assert model.levels.reserved == 20 * MIB
    model.free(held)
    assert model.levels.fragmented == 0


def test_each_stream_has_its_own_memory() -> None:
    model = allocator()
    model.free(model.malloc(30 * MIB, stream=1))
    model.malloc(30 * MIB, stream=2)
    assert model.levels.reserved == 60 * MIB


def test_unused_memory_is_given_back_before_a_request_fails() -> None:
    model = allocator(capacity=100 * MIB)
    model.free(model.malloc(60 * MIB))
    model.malloc(80 * MIB)
    assert (model.levels.reserved, model.retries, model.failures) == (80 * MIB, 1, 0)


def test_out_of_memory_leaves_the_allocator_as_it_was() -> None:
    model = allocator(capacity=100 * MIB)
    held = model.malloc(60 * MIB)
    with pytest.raises(OutOfDeviceMemoryError, match=r"50\.00 MiB do not fit"):
        model.malloc(50 * MIB)
    assert model.failures == 1
    model.free(held)
    assert model.malloc(50 * MIB) == held


def test_what_is_not_allocated_cannot_be_freed() -> None:
    model = allocator()
    address = model.malloc(1)
    model.free(address)
    with pytest.raises(UsageError, match="nothing is allocated"):
        model.free(address)


def test_expandable_segments_grow_in_place() -> None:
    model = allocator("expandable_segments:True")
    first = model.malloc(30 * MIB)
    assert model.levels.reserved == 40 * MIB
    assert model.malloc(30 * MIB) == first + 30 * MIB
    assert model.levels.reserved == 60 * MIB
    model.free(first)
    assert model.levels.fragmented == 10 * MIB  # one whole page of 20 MiB could go
    model.empty_cache()
    assert model.levels.reserved == 40 * MIB


def test_expandable_segments_fit_where_others_do_not() -> None:
    """Three segments, each with a held half: 87 MiB are free, but no 80 of them together."""

    def three_halves(settings: str) -> CachingAllocator:
        model = allocator(settings, capacity=200 * MIB)
        for _ in range(3):
            model.free(model.malloc(60 * MIB))
            model.malloc(31 * MIB)
        return model

    with pytest.raises(OutOfDeviceMemoryError):
        three_halves("").malloc(80 * MIB)
    assert three_halves("expandable_segments:True").malloc(80 * MIB)


def test_garbage_is_collected_by_age() -> None:
    """At a fraction of 1 of 100 MiB and a threshold of 0.5, old segments go above 50 MiB."""
    settings = "garbage_collection_threshold:0.5,per_process_memory_fraction:1.0"
    model = allocator(settings, capacity=100 * MIB)
    old = model.malloc(30 * MIB)
    model.free(old)
    model.free(model.malloc(40 * MIB))
    for _ in range(4):
        model.free(model.malloc(40 * MIB))
    model.malloc(12 * MIB)
    assert model.levels.reserved == 70 * MIB  # the free block of 30 MiB serves it
    model.malloc(41 * MIB)
    assert model.levels.reserved == 30 * MIB + 41 * MIB + MIB  # that of 40 MiB went for it
    assert model.retries == 0


def test_garbage_is_not_collected_without_a_memory_fraction() -> None:
    model = allocator("garbage_collection_threshold:0.5", capacity=100 * MIB)
    model.free(model.malloc(60 * MIB))
    model.malloc(22 * MIB)
    model.malloc(MIB)
    assert model.levels.reserved == 62 * MIB


def test_a_memory_fraction_limits_what_is_reserved() -> None:
    model = allocator("per_process_memory_fraction:0.5", capacity=100 * MIB)
    model.malloc(40 * MIB)
    with pytest.raises(OutOfDeviceMemoryError):
        model.malloc(12 * MIB)


def test_oversize_blocks_are_not_split() -> None:
    model = allocator("max_split_size_mb:32")
    big = model.malloc(64 * MIB)
    model.free(big)
    small = model.malloc(20 * MIB)
    assert small != big
    assert model.levels.reserved == 84 * MIB
    assert model.malloc(50 * MIB) == big
    assert model.levels.allocated == 20 * MIB + 64 * MIB


def test_growth_that_was_measured_on_a_gpu() -> None:
    """Two settings that get in each other's way, on a device of 16,000 MiB: pytorch issue 123548.

    Beside 64 MiB, each turn allocates 91 and 45.5 MiB and then 2 MiB that stay, and frees the
    first two. What PyTorch 2.12 reserved was published for every 20th turn, up to the turn in
    which the device was full.
    """
    model = allocator("max_split_size_mb:128,expandable_segments:True", capacity=16_000 * MIB)
    model.malloc(64 * MIB)
    reserved = []
    for _ in range(116):
        large = [model.malloc(91 * MIB), model.malloc(int(45.5 * MIB))]
        model.malloc(2 * MIB)
        for address in large:
            model.free(address)
        reserved.append(model.levels.reserved // MIB)
    assert reserved[:101:20] == [220, 2_980, 5_760, 8_520, 11_300, 14_060]
    assert model.levels.allocated == 296 * MIB
    assert model.levels.reserved_peak == 16_000 * MIB
    assert (model.retries, model.failures) == (1, 0)
    assert reserved[115] == 2_680


def test_memory_that_another_stream_uses_is_free_when_that_has_finished() -> None:
    model = allocator()
    address = model.malloc(30 * MIB)
    model.record_stream(address, stream=7)
    model.free(address)
    assert model.malloc(30 * MIB) != address
    assert (model.levels.allocated, model.levels.pending) == (30 * MIB, 30 * MIB)
    model.synchronize(8)
    assert model.malloc(30 * MIB) != address
    model.synchronize(7)
    assert model.malloc(30 * MIB) == address
    assert model.levels.pending == 0


def test_the_own_stream_needs_no_waiting() -> None:
    model = allocator()
    address = model.malloc(30 * MIB, stream=3)
    model.record_stream(address, stream=3)
    model.free(address)
    assert model.malloc(30 * MIB, stream=3) == address


def test_empty_cache_waits_for_all_streams() -> None:
    model = allocator()
    address = model.malloc(30 * MIB)
    model.record_stream(address, stream=7)
    model.free(address)
    model.empty_cache()
    assert model.levels.reserved == 0


def test_a_capture_has_its_own_memory_until_its_graph_is_gone() -> None:
    model = allocator()
    model.free(model.malloc(30 * MIB))
    model.begin_pool((0, 1), stream=5)
    inside = model.malloc(30 * MIB, stream=5)
    assert model.levels.reserved == 60 * MIB
    model.malloc(30 * MIB)  # another stream: from the default pool
    assert model.levels.reserved == 60 * MIB
    model.end_pool((0, 1))
    model.free(inside)
    model.empty_cache()
    assert model.levels.reserved == 60 * MIB
    model.release_pool((0, 1))
    model.empty_cache()
    assert model.levels.reserved == 30 * MIB


def test_a_capture_does_not_wait_for_streams() -> None:
    model = allocator()
    address = model.malloc(30 * MIB)
    model.record_stream(address, stream=7)
    model.begin_pool((0, 1), stream=5)
    model.free(address)
    model.synchronize()
    assert model.malloc(30 * MIB) != address
    model.end_pool((0, 1))
    model.malloc(1)  # events are recorded only now
    model.synchronize()
    assert model.malloc(30 * MIB) == address


def test_nothing_is_given_back_during_a_capture() -> None:
    model = allocator(capacity=50 * MIB)
    model.free(model.malloc(30 * MIB))
    model.begin_pool((0, 1))
    with pytest.raises(OutOfDeviceMemoryError):
        model.malloc(30 * MIB)
    model.end_pool((0, 1))
    assert model.malloc(40 * MIB)


def test_pools_that_nobody_began() -> None:
    model = allocator()
    with pytest.raises(UsageError, match="private pool"):
        model.end_pool((0, 1))
    with pytest.raises(UsageError, match="private pool"):
        model.release_pool((0, 1))
    model.begin_pool((0, 1))
    with pytest.raises(UsageError, match="private pool"):
        model.begin_pool((0, 1))


def test_statistics_have_pytorchs_names() -> None:
    model = allocator(capacity=100 * MIB)
    held = [model.malloc(4 * MIB + 1) for _ in range(2)]
    model.record_stream(held[0], stream=7)
    model.free(held[0])
    model.free(model.malloc(60 * MIB))
    with pytest.raises(OutOfDeviceMemoryError):
        model.malloc(90 * MIB)
    assert statistics(model) == {
        "allocation.all.current": 1,
        "active.all.current": 1,
        "segment.all.current": 1,
        "inactive_split.all.current": 2,
        "requested_bytes.all.current": 4 * MIB + 1,
        "requested_bytes.all.peak": 68 * MIB + 2,
        "allocated_bytes.all.current": 4 * MIB + 512,
        "allocated_bytes.all.peak": 64 * MIB + 512,
        "active_bytes.all.current": 4 * MIB + 512,
        "reserved_bytes.all.current": 20 * MIB,
        "reserved_bytes.all.peak": 80 * MIB,
        "inactive_split_bytes.all.current": 16 * MIB - 512,
        "num_alloc_retries": 1,
        "num_ooms": 1,
        "num_device_alloc": 2,
        "num_device_free": 1,
    }
