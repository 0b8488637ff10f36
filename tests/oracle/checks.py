"""How an outcome is judged: the recorder's figures against the allocator's and the objects'."""

from __future__ import annotations

from typing import Any

Outcome = dict[str, Any]


def check_peak(outcome: Outcome) -> None:
    """The traced peak is the true one to 1 %, workspaces and what libraries keep aside.

    Where an operator takes memory of its own, the truth lies between the tensors alone and the
    tensors with the measured workspace. What is still held at the end and belongs to no tensor
    (oneDNN's reordered weights and scratch) is not PyTorch's allocator's, though the counter
    counts it.
    """
    kept = max(0, outcome["true_end"] - outcome["traced_end"])
    traced = outcome["traced_peak"]
    explained = max(traced, outcome["peak_with_workspaces"])
    assert traced <= 1.01 * outcome["true_peak"]
    assert explained <= 1.01 * outcome["true_peak"]
    assert outcome["true_peak"] - kept <= 1.01 * explained


def check_tensor_peak(outcome: Outcome) -> None:
    """The tensors alone make up the true peak to 1 %, what libraries keep aside."""
    kept = max(0, outcome["true_end"] - outcome["traced_end"])
    assert abs(outcome["traced_peak"] / (outcome["true_peak"] - kept) - 1) < 0.01


def check_claims(outcome: Outcome) -> None:
    """Every category holds exactly the bytes that the objects themselves add up to."""
    wrong = [claim for claim in outcome["claims"] if claim["expected"] != claim["measured"]]
    assert not wrong


def check_unattributed(outcome: Outcome) -> None:
    """Less than 2 % of the peak is without a category."""
    assert outcome["unattributed"] < 0.02 * outcome["traced_peak"]


def check_results(outcome: Outcome) -> None:
    """The program computed what it computes without a recorder, to the last bit."""
    assert outcome["values"]
    assert outcome["values"] == outcome["plain_values"]


def check_quiet(outcome: Outcome) -> None:
    """The recorder had nothing to say about itself."""
    assert outcome["remarks"] == []
