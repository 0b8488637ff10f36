"""What a notebook shows of a trace."""

import torch

import memprof
from memprof.notebook import as_html, as_text
from tests.trace_builder import TraceBuilder


def test_a_trace_shows_its_peak_in_words_and_as_a_table() -> None:
    tracing = memprof.trace()
    assert "not begun" in repr(tracing)
    with tracing:
        assert repr(tracing) == "<memprof trace: recording>"
        assert "&lt;memprof" in tracing._repr_html_()
        kept = torch.empty(1 << 20)
    peak = tracing.peak()
    assert f"on {peak.device}" in repr(tracing)
    assert "<table>" in tracing._repr_html_()
    del kept


def test_names_are_escaped() -> None:
    build = TraceBuilder()
    with build.phase("<b>forward</b>"):
        build.alloc(4096, label="parameter", name="w")
    from memprof.analyze import analyze

    shown = as_html(analyze(build.trace()))
    assert "<b>" not in shown
    assert "4.00 KiB" in shown
    assert "weights" in shown


def test_an_empty_trace_says_so() -> None:
    from memprof.analyze import analyze

    empty = analyze(TraceBuilder().trace())
    assert as_text(empty) == "nothing was recorded"
    assert "nothing was recorded" in as_html(empty)
