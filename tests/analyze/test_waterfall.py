"""The waterfall: every level, every gap by its name, and a sum that always closes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from memprof.analyze import Analysis
from memprof.analyze.waterfall import LEVELS, Waterfall, waterfall
from tests.trace_builder import BEGIN_NS, GIB, TICK_NS, TraceBuilder

KIB, MIB = 1 << 10, 1 << 20
UUID = "GPU-a"


def at_end(build: TraceBuilder, device: str = "cuda:0") -> Waterfall:
    trace = build.trace()
    return waterfall(trace, device, Analysis(trace).device(device).end)


def gaps(found: Waterfall) -> dict[str, int]:
    return {gap.name: gap.bytes for gap in found.gaps}


def closes(found: Waterfall) -> bool:
    known = [level for level in LEVELS if found.levels[level] is not None]
    return all(
        sum(gap.bytes for gap in found.gaps if (gap.lower, gap.upper) == (lower, upper))
        == (found.levels[upper] or 0) - (found.levels[lower] or 0)
        for lower, upper in pairwise(known)
    ) and {gap.upper for gap in found.gaps} <= set(known)


def card(**series: int) -> TraceBuilder:
    """A tensor of 1,000 bytes, whose block takes 1,024, and samples taken after its birth."""
    build = TraceBuilder()
    build.alloc(1000, device="cuda:0")
    for name, value in series.items():
        prefix = f"nvml/{UUID}/" if name in DRIVER else "cuda:0/"
        build.sample(f"{prefix}{name}_bytes", value)
    return build


DRIVER = {"used", "process", "other_processes"}


def test_every_gap_has_its_name() -> None:
    found = at_end(
        card(
            requested=1500,  # 500 in a workspace of the library's own
            allocated=1524 + 4096,
            active=1524 + 4096 + 2048,
            reserved=20 * KIB,
            graph_pools_free=3 * KIB,
            fragmented=KIB,
            process=30 * KIB,
            used=50 * KIB,
            other_processes=15 * KIB,
        )
    )
    assert found.levels == {
        "requested": 1000,
        "allocated": 1524 + 4096,
        "reserved": 20 * KIB,
        "process": 30 * KIB,
        "device": 50 * KIB,
    }
    assert gaps(found) == {
        "unseen": 500,
        "rounding": 24,
        "unsplit": 4096,
        "pending": 2048,
        "graph_pools": 3 * KIB,
        "fragmented": KIB,
        "cached": 20 * KIB - 1524 - 4096 - 2048 - 4 * KIB,
        "context": 10 * KIB,
        "other_processes": 15 * KIB,
        "unexplained": 5 * KIB,
    }
    assert closes(found)


def test_the_context_is_what_was_there_at_the_first_sample() -> None:
    build = card(reserved=2 * MIB, process=500 * MIB)
    build.tick()
    build.sample("cuda:0/reserved_bytes", 100 * MIB)
    build.sample(f"nvml/{UUID}/process_bytes", 700 * MIB)
    found = gaps(at_end(build))
    assert found["context"] == 498 * MIB
    assert found["libraries"] == 102 * MIB, "what came since: NCCL, cuDNN, kernels"


def test_the_allocator_is_carried_to_the_moment() -> None:
    """The peak lies between two samples; births and deaths since the last one are known."""
    build = card(requested=1000, allocated=1024, reserved=2 * MIB)
    big = build.alloc(100_000, device="cuda:0")
    build.alloc(7, device="cpu")
    peak_ns = build.now
    build.free(big)
    build.tick()
    build.sample("cuda:0/reserved_bytes", 4 * MIB)
    trace = build.trace()
    found = waterfall(trace, "cuda:0", Analysis(trace).device("cuda:0").at_time(peak_ns))
    assert found.levels["requested"] == 101_000
    assert found.levels["allocated"] == 1024 + 100_352
    assert found.levels["reserved"] == 4 * MIB, "the allocator had grown by the next sample"
    assert gaps(found)["rounding"] == 24 + 352
    assert closes(found)


def test_a_sum_that_does_not_add_up_says_so() -> None:
    found = at_end(card(allocated=1024, reserved=2048, process=1500, used=1400, other_processes=50))
    assert gaps(found)["unexplained"] < 0
    assert closes(found)


def test_a_process_that_nobody_tells() -> None:
    found = at_end(card(reserved=2 * MIB, used=9 * MIB, other_processes=3 * MIB))
    assert found.levels["process"] is None
    assert gaps(found) == {"cached": 2 * MIB - 1000, "other_processes": 3 * MIB, "outside": 4 * MIB}
    assert closes(found)


def test_nothing_was_sampled() -> None:
    found = at_end(card())
    assert found.levels == {**dict.fromkeys(LEVELS), "requested": 1000}
    assert found.gaps == ()


def test_an_older_trace_has_fewer_series() -> None:
    build = TraceBuilder()
    build.alloc(100, device="cuda:0")
    for level in (1, 2):
        build.sample("cuda:0/allocated_bytes", 110 * level)
        build.sample("cuda:0/reserved_bytes", 200 * level)
        build.sample("cuda:0/inactive_split_bytes", 40 * level)
        build.tick(2)
    trace = build.trace()
    moment = Analysis(trace).device("cuda:0").at_time(BEGIN_NS + 9 * TICK_NS)
    found = waterfall(trace, "cuda:0", moment)
    assert list(found.levels.values()) == [100, 220, 400, None, None]
    assert gaps(found) == {"rounding": 120, "fragmented": 80, "cached": 100}


def test_on_the_host_only_requested_and_resident_bytes_are_known() -> None:
    build = TraceBuilder()
    build.alloc(100)
    build.sample("host/rss_bytes", 5000)
    build.sample(f"nvml/{UUID}/used_bytes", 7)
    found = at_end(build, "cpu")
    assert found.levels == {**dict.fromkeys(LEVELS), "requested": 100, "process": 5000}
    assert gaps(found) == {"outside_tensors": 4900}


def test_memory_that_was_never_touched() -> None:
    build = TraceBuilder()
    build.alloc(9000)
    build.sample("host/rss_bytes", 5000)
    assert gaps(at_end(build, "cpu")) == {"untouched": -4000}


def device_level(build: TraceBuilder) -> int | None:
    build.alloc(1, device="cuda:0")
    build.sample("nvml/GPU-a/used_bytes", 10)
    build.sample("nvml/GPU-b/used_bytes", 20)
    return at_end(build).levels["device"]


def test_of_several_cards_the_right_one_is_taken() -> None:
    def header(**about: Any) -> TraceBuilder:
        return TraceBuilder(devices={"cuda:0": {"name": "H200", "total_bytes": GIB} | about})

    assert device_level(header(uuid="GPU-b")) == 20
    assert device_level(header()) is None
    build = header()
    build.fact("nvml", {"devices": [{"device": "cuda:0", "uuid": "GPU-b"}]})
    assert device_level(build) == 20


BYTES = st.integers(0, 1 << 40)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                *DRIVER,
                "requested",
                "allocated",
                "active",
                "reserved",
                "graph_pools_free",
                "fragmented",
            ]
        ),
        BYTES,
    )
)
def test_whatever_is_measured_the_sum_closes(series: dict[str, int]) -> None:
    assert closes(at_end(card(**series)))
