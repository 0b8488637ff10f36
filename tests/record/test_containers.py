"""Tensors are found in whatever holds them, and never by running the holder's code."""

from collections import UserDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
import torch
from torch._subclasses import FakeTensorMode

from memprof.record.containers import storages_of, tensors_in


@dataclass
class Held:
    tensor: torch.Tensor
    number: int = 3


class Plain:
    def __init__(self, tensor: torch.Tensor) -> None:
        self.inner = [tensor]

    @property
    def explosive(self) -> torch.Tensor:
        raise AssertionError("a property was run")


class ReadsTheDisk(Mapping[str, torch.Tensor]):
    def __getitem__(self, key: str) -> torch.Tensor:
        raise AssertionError("a foreign mapping was read")

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("a foreign mapping was iterated")

    def __len__(self) -> int:
        return 1


def test_nested_containers_give_paths() -> None:
    a, b, c, d = (torch.zeros(1) for _ in range(4))
    value = {"x": [a, (b,)], "y": Held(c), "z": UserDict({"k": Plain(d)})}
    found = dict(tensors_in(value))
    assert found.keys() == {"x.0", "x.1.0", "y.tensor", "z.k.inner.0"}
    assert found["z.k.inner.0"] is d


def test_modules_give_parameters_and_buffers() -> None:
    found = dict(tensors_in(torch.nn.BatchNorm1d(3)))
    assert found.keys() == {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}


def test_foreign_mappings_are_left_alone() -> None:
    assert list(tensors_in(ReadsTheDisk())) == []


def test_cycles_end() -> None:
    looped: list[object] = [torch.zeros(1)]
    looped.append(looped)
    assert len(list(tensors_in(looped))) < 20


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_sparse_tensors_have_the_storages_of_their_parts() -> None:
    sparse = torch.eye(4).to_sparse()
    sizes = sorted(storage.nbytes() for storage in storages_of(sparse))
    assert sizes == [4 * 4, 2 * 4 * 8]
    assert len(storages_of(torch.eye(4).to_sparse_csr())) == 3


def test_tensors_without_memory_have_no_storages() -> None:
    assert storages_of(torch.empty(4, device="meta")) == []
    with FakeTensorMode():
        assert storages_of(torch.empty(4)) == []
    assert storages_of("text") == []


def test_transformed_tensors_have_the_storage_underneath() -> None:
    plain = torch.ones(3)
    seen: list[int] = []

    def keep(x: torch.Tensor) -> torch.Tensor:
        seen.extend(storage._cdata for storage in storages_of(x))
        return x.sum()

    torch.func.grad(keep)(plain)
    assert seen == [plain.untyped_storage()._cdata]
