"""What a view keeps alive is noted; what somebody else still holds is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional

import memprof
from memprof.trace import Trace

ROWS, WIDTH = 512, 256
HELD = 4 * WIDTH * 4
Make = Callable[[], object]


def kept(make: Make) -> list[int]:
    """What is covered of each storage noted in a program that keeps what `make` returns."""
    with memprof.trace() as traced:
        held = make()
    del held
    return sorted(covered_in(traced.analysis.trace))


def covered_in(trace: Trace) -> list[int]:
    views = trace.views
    return list(dict(zip(views.allocation.tolist(), views.covered.tolist(), strict=True)).values())


def big(**how: bool) -> torch.Tensor:
    return torch.randn(ROWS, WIDTH, **how)  # type: ignore[call-overload, no-any-return]


def under(mode: Callable[[], object]) -> torch.Tensor:
    with mode():  # type: ignore[attr-defined]
        return big()[:4]


def behind_attention() -> torch.Tensor:
    """The result of this operator is a view itself, of a tensor that Python never sees."""
    query = torch.randn(1, 4, 128, 64)
    return functional.scaled_dot_product_attention(query, query, query)[:, :, :4]


@pytest.mark.parametrize(
    "make",
    [
        lambda: big()[:4],
        lambda: under(torch.no_grad),
        lambda: under(torch.inference_mode),
        lambda: big(requires_grad=True).relu()[:4].detach(),
        lambda: big()[:8][2:6],
        lambda: [big()[:4]],
        lambda: nn.Parameter(big()[:4]),
        lambda: big()[:4].numpy(),
    ],
    ids=["plain", "no_grad", "inference", "detached", "chain", "list", "parameter", "numpy"],
)
def test_a_slice_whose_whole_is_gone(make: Make) -> None:
    assert kept(make) == [HELD]


def test_two_slices_count_together_and_their_overlap_once() -> None:
    def make() -> object:
        whole = big()
        return whole[:4], whole[100:104], whole[102:106]

    assert kept(make) == [10 * WIDTH * 4]


def test_a_column_covers_its_elements_only() -> None:
    assert kept(lambda: big()[:, :1]) == [ROWS * 4]


def test_a_slice_of_a_view_that_an_operator_returns() -> None:
    assert kept(behind_attention) == [4 * 4 * 64 * 4]


def whole_beside() -> object:
    whole = big()
    return whole, whole[:4]


def halves() -> object:
    whole = big()
    return whole[: ROWS // 2], whole[ROWS // 2 :]


def saved_by_a_graph() -> object:
    weight, whole = big(requires_grad=True), big()
    return (weight * whole).sum(), whole[:4]


def result_saved_by_a_graph() -> object:
    result = big(requires_grad=True).exp()
    return result.sum(), result[:4].detach()


@pytest.mark.parametrize(
    "make",
    [
        whole_beside,
        halves,
        saved_by_a_graph,
        result_saved_by_a_graph,
        lambda: big()[:4].clone(),
        lambda: big().t(),
        lambda: torch.randn(1, WIDTH).expand(ROWS, WIDTH),
        lambda: torch.randn(63, WIDTH)[:4],
    ],
    ids=["whole", "halves", "graph", "result", "clone", "transposed", "expanded", "small"],
)
def test_what_is_covered_or_held_otherwise_is_not_noted(make: Make) -> None:
    assert kept(make) == []


def test_a_program_is_looked_at_while_it_runs() -> None:
    """What is gone in the end was noted at the end of a step."""
    model = nn.Linear(WIDTH, WIDTH, bias=False)
    with memprof.trace() as traced:
        held = [big()[:4]]
        for _ in range(2):
            model(torch.randn(1, WIDTH)).sum().backward()
        held.clear()
    assert covered_in(traced.analysis.trace) == [HELD]


def test_a_step_s_own_view_is_not_noted_at_its_end() -> None:
    with memprof.trace() as traced:
        for _ in range(5):
            held = big()[:4]
            memprof.step()
        del held
    assert covered_in(traced.analysis.trace) == []
