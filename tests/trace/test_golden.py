"""A trace of every released version of the format stays readable and says what it said."""

from pathlib import Path

import pytest

from memprof.analyze import analyze, report_document
from memprof.trace import VERSION, load

GOLDEN = Path(__file__).with_name("golden")
#: The program was nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 16)), trained for
#: three declared steps on 128 rows by SGD with momentum, all in float32 and in a phase "turn".
PARAMETERS = 64 * 256 + 256 + 256 * 16 + 16
ROWS = 128


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_golden_trace(version: int) -> None:
    trace = load(GOLDEN / f"version-{version}.json")
    assert trace.complete
    assert trace.warnings == ()
    assert len(trace.steps) == 3
    device = analyze(trace).device("cpu")
    peaks = {category: peak.bytes for category, peak in device.category_peaks.items()}
    for category in ("weights", "gradients", "optimizer_state"):
        assert peaks[category] == 4 * PARAMETERS
    assert peaks["inputs"] == 4 * ROWS * 64
    hidden, output = ROWS * 256, ROWS * 16
    assert peaks["activations"] >= 4 * (2 * hidden + output)
    assert device.end.by_category["weights"] == 4 * PARAMETERS
    assert device.end.by_category["gradients"] == 0


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_golden_report_names_modules_and_phases(version: int) -> None:
    report = report_document(analyze(load(GOLDEN / f"version-{version}.json")))
    steps = report["devices"]["cpu"]["steps"]
    assert [step["step"] for step in steps] == [0, 1, 2]
    names = {group["name"] for group in report["devices"]["cpu"]["peak"]["top"]}
    assert "0.weight" in names
    assert report["devices"]["cpu"]["peak"]["phase"].startswith("turn › ")
