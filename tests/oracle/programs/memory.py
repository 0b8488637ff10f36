"""Tensors that share, grow, shrink, move and lose their memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from tests.oracle.outcome import Program
from tests.oracle.probe import Probe

SIDE = 256


def views(probe: Probe) -> None:
    """Views take nothing, and keep what they look at alive."""
    with probe.traced():
        whole = torch.randn(SIDE, SIDE)
        parts = [
            whole.t(),
            whole[3:5],
            whole.view(-1),
            whole.expand(4, SIDE, SIDE),
            *whole.split(8),
        ]
        corner = whole[:2, :2]
        del whole, parts
        torch.randn(SIDE // 2, SIDE)
        copied = corner.clone()
        del corner
        probe.value(copied)
        torch.randn(SIDE // 2, SIDE)


def in_place(probe: Probe) -> None:
    with probe.traced():
        kept = torch.zeros(SIDE, SIDE)
        for _ in range(3):
            kept.add_(1).mul_(2).clamp_(max=9)
            kept[0] = 3
            torch.add(kept, 1, out=kept)
            kept += torch.ones(SIDE, SIDE)
        kept.data = kept[: SIDE // 2].clone()
        probe.value(kept)


def resizes(probe: Probe) -> None:
    """A tensor may grow in place; a shrunken one keeps its memory."""
    with probe.traced():
        kept = torch.empty(16)
        for rows in (SIDE, 2 * SIDE, SIDE // 2, 3 * SIDE):
            kept.resize_(rows, SIDE).fill_(1)
            probe.value(kept)
        torch.add(torch.ones(SIDE), 1, out=torch.empty(0))
        kept.resize_(4)


def storage_resizes(probe: Probe) -> None:
    """What FSDP does with its flat weights: nothing between layers, all of it within."""
    with probe.traced():
        weights = [nn.Parameter(torch.randn(SIDE, SIDE)) for _ in range(3)]
        kept = [weight.detach().clone() for weight in weights]
        full = weights[0].untyped_storage().nbytes()
        for weight in weights:
            weight.untyped_storage().resize_(0)
        for weight, values in zip(weights, kept, strict=True):
            weight.untyped_storage().resize_(full)
            with torch.no_grad():
                weight.copy_(values)
            probe.value(weight.sum())
            weight.untyped_storage().resize_(0)
        weights[1].untyped_storage().resize_(full // 2)


def foreign_storages(probe: Probe) -> None:
    """set_ gives a tensor another's storage; the first one's goes."""
    with probe.traced():
        one, other = torch.randn(SIDE, SIDE), torch.randn(2 * SIDE, SIDE)
        one.set_(other)
        del other
        probe.value(one)
        two = torch.empty(0).set_(one.untyped_storage(), 0, (4,), (1,))
        del one
        torch.randn(3 * SIDE, SIDE)
        probe.value(two)


def sparse(probe: Probe) -> None:
    with probe.traced():
        dense = torch.randn(SIDE, SIDE).relu_()
        pairs = dense.to_sparse()
        doubled = (pairs + pairs).coalesce()
        product = torch.sparse.mm(doubled, dense)
        probe.value(product, doubled.values())
        del dense, pairs
        rows = doubled.to_sparse_csr()
        del doubled
        probe.value(rows @ product)


def conversions(probe: Probe) -> None:
    """Types, layouts, serialisation and NumPy."""
    with probe.traced():
        first = torch.randn(SIDE, SIDE)
        kept = [first.double(), first.t().contiguous(), first.to(torch.bfloat16), first.numpy()]
        kept.append(torch.complex(first, first).abs())
        kept.append(torch.stack([first, first]).sum(0))
        kept.append(torch.from_numpy(kept[3].copy()))  # NumPy's own memory
        del kept[-1]
        probe.value(kept[0], kept[1])
        moved = nn.Linear(SIDE, SIDE).double().to(torch.float16)
        probe.holds("weights", *moved.parameters())


def many(probe: Probe) -> None:
    """Ten thousand small tensors come and go in an order of their own."""
    with probe.traced():
        kept: dict[int, torch.Tensor] = {}
        for turn in range(10_000):
            kept[turn * 7919 % 499] = torch.empty(turn % 97 + 1)
            if turn % 5 == 0:
                kept.pop(turn * 31 % 499, None)
        probe.value(torch.tensor(len(kept)))


def cycles(probe: Probe) -> None:
    """Memory in reference cycles goes when the garbage collector comes."""

    class Held:
        def __init__(self) -> None:
            self.tensor, self.itself = torch.ones(SIDE, SIDE), self

    with probe.traced():
        for _ in range(4):
            probe.value(Held().tensor)
        gc.collect()
        torch.ones(3 * SIDE, SIDE)


def from_before(probe: Probe) -> None:
    """Tensors that exist when the recording begins are known, wherever they are held."""

    class Holder:
        def __init__(self) -> None:
            self.tensor = torch.ones(2 * SIDE, SIDE)

    def waiting() -> Iterator[torch.Tensor]:
        held = torch.ones(SIDE, SIDE)
        yield held
        yield held

    holder, generator = Holder(), waiting()
    kept: list[Any] = [
        {"a": torch.ones(SIDE, SIDE)},
        (torch.ones(SIDE, SIDE).t(),),
        next(generator),
    ]
    with probe.traced():
        probe.value(kept[0]["a"] + holder.tensor[:SIDE])
        del holder
        kept.clear()
        probe.value(next(generator) + 1)
        generator.close()


def workspaces(probe: Probe) -> None:
    """Operators that work in memory of their own."""
    with probe.traced():
        square = torch.randn(300, 300)
        values, _ = square.sort()
        probe.value(values, torch.linalg.inv(square))


PROGRAMS = {
    name: Program(run, loose=True)
    for name, run in {
        "views": views,
        "in place": in_place,
        "storage.resize_": storage_resizes,
        "set_": foreign_storages,
        "sparse tensors": sparse,
        "conversions": conversions,
        "many small tensors": many,
        "reference cycles": cycles,
        "from before the recording": from_before,
    }.items()
} | {
    "tensor.resize_": Program(
        resizes, workspaces="it copies from the old memory into the new", loose=True
    ),
    "sort and inverse": Program(workspaces, workspaces="LAPACK works on copies", loose=True),
}
