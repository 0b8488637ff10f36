"""A predicted run asks for the same memory in the same order as the real one."""

from __future__ import annotations

import pytest

from memprof.analyze.compare import compare_document
from memprof.cli.render.compare import compare_text
from tests.predict.conftest import measured, predicted, requests
from tests.predict.programs import PROGRAMS

pytest.importorskip("transformers")
pytest.importorskip("peft")
pytest.importorskip("bitsandbytes")  # peft imports it with its first adapter
pytestmark = pytest.mark.filterwarnings("ignore")

FEWEST = 100  # requests of a program that is worth comparing


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_requests_in_the_same_order(name: str) -> None:
    program = PROGRAMS[name]
    real, fake = measured(program), predicted(program)
    asked = requests(real.trace)
    assert len(asked) > FEWEST
    assert requests(fake.trace) == asked
    assert fake.peak().requested_bytes == real.peak().requested_bytes
    assert fake.peak().by_category == real.peak().by_category


@pytest.mark.parametrize("name", ["Llama", "GPT-2", "T5, generating", "CNN"])
def test_the_peak_that_the_allocator_saw(name: str) -> None:
    """The allocator's own observer shares no code with the dispatch hook."""
    program = PROGRAMS[name]
    real, fake = measured(program, "native"), predicted(program)
    expected = real.peak().requested_bytes
    assert abs(fake.peak().requested_bytes - expected) <= 0.01 * expected


def test_side_by_side() -> None:
    program = PROGRAMS["CNN"]
    document = compare_document(measured(program).analysis, predicted(program).analysis)
    rows = document["devices"]["cpu"]["categories"]
    for category in ("weights", "gradients", "optimizer_state", "activations"):
        assert rows[category]["predicted_bytes"] == rows[category]["measured_bytes"] > 0
        assert rows[category]["prediction_error_bytes"] == 0
    shown = [str(part) for part in compare_text(document, source="trace.json")]
    assert any("measured, predicted and estimated" in line for line in shown)
    elsewhere = compare_document(measured(program).analysis, predicted(lambda: None).analysis)
    assert elsewhere["devices"]["cpu"]["categories"]["weights"]["predicted_bytes"] is None
