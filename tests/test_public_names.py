"""What ``import memprof`` offers, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import memprof

NAMES = {
    "Trace",
    "__version__",
    "compare",
    "estimate",
    "load",
    "phase",
    "predict",
    "step",
    "tag",
    "trace",
}


def test_exported_names() -> None:
    assert set(memprof.__all__) == NAMES
    assert set(dir(memprof)) == NAMES
    for name in NAMES:
        assert getattr(memprof, name) is not None


def test_no_other_name() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'profile'"):
        memprof.profile  # noqa: B018


@pytest.mark.parametrize("room", ["trace", "estimate", "predict"])
def test_functions_are_not_hidden_by_rooms_of_the_same_name(room: str) -> None:
    program = f"import memprof.{room}, memprof; assert callable(memprof.{room}), memprof.{room}"
    subprocess.run([sys.executable, "-c", program], check=True)


def imported_by(statement: str) -> set[str]:
    """Names of the modules that a statement brings into a fresh interpreter."""
    program = (
        f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return set(answer.stdout.split())


def test_import_budget() -> None:
    modules = imported_by("import memprof")
    foreign = {"torch", "numpy", "dash", "plotly", "rich", "typer", "nvtx", "pynvml"}
    assert not modules & foreign
    assert {name for name in modules if name.startswith("memprof")} == {"memprof"}
    assert len(modules) < 40


def test_reading_a_trace_needs_no_torch() -> None:
    modules = imported_by("import memprof; memprof.load; memprof.compare; memprof.step()")
    assert "numpy" in modules
    assert not modules & {"torch", "dash", "rich", "typer"}


def test_the_command_line_reads_traces_without_torch() -> None:
    modules = imported_by("import memprof.cli.app, memprof.cli.report, memprof.cli.run")
    assert not modules & {"torch", "numpy", "dash"}
