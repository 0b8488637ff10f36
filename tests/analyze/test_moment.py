"""Moments say when and where in the program they are."""

from __future__ import annotations

import pytest

from memprof.analyze import Analysis, Moment, phase_spans
from memprof.errors import UsageError
from memprof.trace import CATEGORIES, Trace
from tests.trace_builder import BEGIN_NS, TICK_NS, TraceBuilder


def training() -> Trace:
    build = TraceBuilder()
    build.alloc(1000, label="parameter", module="m.linear", name="m.linear.weight")
    build.step()
    with build.phase("train"), build.phase("forward"):
        kept = build.alloc(100, op="aten::mm", module="m.linear")
        build.alloc(7, op="aten::mm", device="cuda:0")
    build.sequence(3, "m.linear")
    build.step()
    with build.phase("backward"):
        gradient = build.alloc(200, op="aten::mm_backward", sequence=3)
        build.free(kept)
        build.free(gradient)
    build.tick(50)
    build.alloc(1, op="aten::zeros")
    return build.trace()


def where(moment: Moment) -> tuple[int | None, str, str, str]:
    return moment.step, moment.phase, moment.module, moment.op


def test_the_peak_names_step_phase_module_and_operation() -> None:
    peak = Analysis(training()).device("cpu").peak

    assert where(peak) == (1, "backward", "m.linear", "aten::mm_backward")
    assert peak.requested_bytes == 1300
    assert (peak.event, peak.time_ns) == (3, BEGIN_NS + 11 * TICK_NS)
    assert peak.seconds == pytest.approx(11e-6)
    assert peak.device == "cpu"


def test_a_nested_phase_is_named_by_its_path() -> None:
    device = Analysis(training()).device("cpu")

    assert where(device.at_event(1)) == (0, "train › forward", "m.linear", "aten::mm")
    assert where(device.at_event(2)) == (0, "train › forward", "", "aten::mm")


def test_a_death_belongs_to_the_phase_it_happens_in_and_to_the_operation_at_work() -> None:
    device = Analysis(training()).device("cpu")

    assert where(device.at_event(4)) == (1, "backward", "m.linear", "aten::mm_backward")
    assert device.at_event(4).requested_bytes == 1200


def test_outside_phases_and_steps_there_is_none() -> None:
    device = Analysis(training()).device("cpu")

    assert where(device.at_event(0)) == (None, "", "m.linear", "aten::empty")
    assert where(device.at_event(-1)) == (None, "", "", "")
    after_backward = BEGIN_NS + 40 * TICK_NS
    assert where(device.at_time(after_backward)) == (1, "", "", "")


def test_a_time_is_the_state_then_whatever_other_devices_do() -> None:
    device = Analysis(training()).device("cuda:0")
    born = int(device.time_ns[0])

    assert device.at_time(born - 1).requested_bytes == 0
    assert device.at_time(born).requested_bytes == 7
    assert device.at_time(born + 1).time_ns == born + 1
    assert device.at_event(4).requested_bytes == 7
    assert device.end.requested_bytes == 7


def test_events_out_of_range_are_the_ends() -> None:
    device = Analysis(training()).device("cpu")

    assert device.at_event(10_000) == device.end
    assert device.at_event(-5) == device.at_event(-1)
    assert device.at_event(-1).requested_bytes == 0
    assert device.at_event(-1).by_category == dict.fromkeys(CATEGORIES, 0)


def test_a_live_tensor_says_all_that_is_known_of_it() -> None:
    build = TraceBuilder()
    with build.phase("forward"):
        kept = build.alloc(
            8, op="aten::mm", module="m.up", tensor="float32[2]", stack="t.py:1 f\nt.py:9 g"
        )
        build.label(kept, "saved_for_backward", name="MulBackward0")
        build.alloc(4)
    build.tick(7)
    build.free(kept)
    device = Analysis(build.trace()).device("cpu")

    first, second = device.at_event(1).live().rows()

    assert (first.bytes, first.category, first.rule) == (8, "activations", "saved")
    assert (first.name, first.module, first.op) == ("MulBackward0", "m.up", "aten::mm")
    assert (first.tensor, first.stack) == ("float32[2]", ["t.py:1 f", "t.py:9 g"])
    assert first.phase == "forward"
    assert first.born_seconds == pytest.approx(2e-6)
    assert first.freed_seconds == pytest.approx(12e-6)
    assert first.age_seconds == pytest.approx(1e-6)
    assert (second.tensor, second.stack, second.freed_seconds) == ("", [], None)
    assert (second.count, second.allocation) == (1, 1)


def test_a_device_without_allocations_is_named_in_the_error() -> None:
    analysis = Analysis(training())

    assert analysis.devices == ("cpu", "cuda:0")
    with pytest.raises(UsageError, match="nothing on 'cuda:7': it has cpu, cuda:0"):
        analysis.device("cuda:7")
    with pytest.raises(UsageError, match="it has no device at all"):
        Analysis(TraceBuilder().trace()).device("cpu")


def test_a_device_is_analysed_once() -> None:
    analysis = Analysis(training())

    assert analysis.device("cpu") is analysis.device("cpu")
    assert analysis.attribution is analysis.attribution


def test_spans_of_phases() -> None:
    build = TraceBuilder()
    with build.phase("train"), build.phase("forward"):
        build.tick(10)
    build.begin_phase("decode")
    build.tick(5)
    build.sample("host/rss_bytes", 1)

    spans = phase_spans(build.trace(complete=False))

    assert [(span.name, span.depth, span.number) for span in spans] == [
        ("train", 0, 1),
        ("train › forward", 1, 2),
        ("decode", 0, 3),
    ]
    assert [(s.begin * 1e6, s.end * 1e6) for s in spans] == [
        pytest.approx((1, 14)),
        pytest.approx((2, 13)),
        pytest.approx((15, 20)),
    ]


def test_a_phase_that_contains_itself_has_a_path_all_the_same() -> None:
    build = TraceBuilder()
    build.row("phases", 1, build.string("forward"), 1, 0, BEGIN_NS, -1, 0, 0, 0)
    build._open_phases.append((1,))
    build.alloc(4)

    device = Analysis(build.trace()).device("cpu")

    assert device.peak.phase.startswith("forward › forward")
    assert len(device.peak.phase) < 1000


def test_a_birth_belongs_to_the_phase_that_its_own_thread_is_in() -> None:
    build = TraceBuilder()
    number = build.begin_phase("forward", thread=1)
    elsewhere = (build.string("decode"), 0, 2, build.tick(), -1, -1, -1, -1)
    build.row("phases", number + 1, *elsewhere)
    build.alloc(4)

    device = Analysis(build.trace()).device("cpu")

    assert device.peak.phase == "forward"
    assert device.at_time(build.now).phase == "decode"


def test_what_is_open_at_one_time_is_the_phase_that_began_last() -> None:
    build = TraceBuilder()
    build.begin_phase("train")
    with build.phase("load"):
        build.tick(3)
    made = build.alloc(4)
    build.free(made)

    device = Analysis(build.trace()).device("cpu")

    assert device.at_event(1).phase == "train"
    assert device.at_time(BEGIN_NS + 3 * TICK_NS).phase == "train › load"


def test_a_tensor_has_the_streams_that_it_had_by_then() -> None:
    build = TraceBuilder()
    plain = build.alloc(10)
    made_aside = build.alloc(20)
    build.row("streams", build.tick(), made_aside, 5, 0)
    build.row("streams", build.tick(), plain, 6, 1)
    build.alloc(30)
    device = Analysis(build.trace()).device("cpu")

    def streams(event: int) -> dict[int, tuple[int, ...]]:
        return {row.bytes: row.streams for row in device.at_event(event).live().rows()}

    assert streams(1) == {20: (5,), 10: ()}
    assert streams(2) == {30: (), 20: (5,), 10: (6,)}
