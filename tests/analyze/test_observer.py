"""What the dispatch hook itself adds is counted, and only that."""

import torch

import memprof
from memprof.analyze.observer import out_of_place_sums


def residual(x: torch.Tensor) -> torch.Tensor:
    return x + x.sin()


def test_gradients_of_a_tensor_used_twice_are_added_out_of_place() -> None:
    x = torch.ones(1000, requires_grad=True)
    with memprof.trace() as traced:
        residual(residual(x * 2)).sum().backward()
    found = out_of_place_sums(traced.trace)
    assert (found.count, found.bytes, found.largest) == (2, 8000, 4000)


def test_a_chain_without_branches_has_none() -> None:
    x = torch.ones(1000, requires_grad=True)
    with memprof.trace() as traced:
        (x.sin() + 1).sum().backward()
    assert out_of_place_sums(traced.trace).count == 0
