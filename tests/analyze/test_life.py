"""The life of one tensor."""

from __future__ import annotations

from memprof.analyze import analyze
from memprof.analyze.life import life
from tests.trace_builder import TraceBuilder


def test_a_life_is_told_from_birth_to_death() -> None:
    build = TraceBuilder()
    other = build.alloc(7, device="cuda:0")
    build.step()
    with build.phase("forward"):
        kept = build.alloc(400, op="aten::mm", module="mlp", stack="a.py:1 f\nb.py:2 g")
        build.label(kept, "saved_for_backward", name="MmBackward0")
    build.step()
    with build.phase("backward"):
        build.free(kept)
    later = build.alloc(9, origin="resized", previous=kept)
    device = analyze(build.trace()).device("cpu")
    found = life(device, kept)
    assert found is not None
    assert found.freed is not None
    assert (found.born.step, found.born.phase) == (0, "forward")
    assert (found.freed.step, found.freed.phase) == (1, "backward")
    assert found.tensor.category == "activations"
    assert found.tensor.stack == ["a.py:1 f", "b.py:2 g"]
    assert found.tensor.age_seconds == found.end_seconds - found.born.seconds
    assert [kind for _, kind in found.seen] == ["saved_for_backward"]
    assert found.reason
    never = life(device, later)
    assert never is not None
    assert (never.freed, never.previous, never.origin) == (None, kept, "resized")
    assert [life(device, index) for index in (other, 99, -1)] == [None, None, None]
