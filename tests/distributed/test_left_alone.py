"""What a recording wraps of PyTorch's distributed code is as before when it has ended."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from torch import distributed
from torch.distributed import distributed_c10d

import memprof
from memprof.record.labels.sharded import GROUP_MODULE, PARAM_MODULE
from tests.distributed.member import RECORDERS

PARAMETERS = importlib.import_module(PARAM_MODULE)
GROUPS = importlib.import_module(GROUP_MODULE)


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (distributed.Reducer, ["__init__", "_rebuild_buckets"]),
        (PARAMETERS.FSDPParam, ["init_unsharded_param", "to_accumulated_grad_if_needed"]),
        (GROUPS, ["foreach_reduce"]),
        (distributed_c10d, ["_new_process_group_helper"]),
    ],
)
def test_left_alone(owner: Any, names: list[str]) -> None:
    before = dict(vars(owner))
    with memprof.trace():
        during = dict(vars(owner))
    assert dict(vars(owner)) == before
    assert [name for name in before if during[name] is not before[name]] == names


def kernels() -> set[str]:
    """The operators that exchange data and have a kernel where a recording puts its own."""
    operators = (schema.name for schema in torch._C._jit_get_all_schemas())
    exchanging = {name for name in operators if name.startswith(("c10d::", "_c10d_functional::"))}
    assert len(exchanging) > 20
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    return {name for name in exchanging if has(name, "BackendSelect")}


def begin_group() -> None:
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize("begun", [True, False], ids=["group before", "group within"])
def test_no_kernel_is_left(recorder: str, begun: bool) -> None:
    before = kernels()
    if begun:
        begin_group()
    try:
        with memprof.trace(recorder=recorder):
            if not begun:
                begin_group()
            tensor = torch.ones(8)
            distributed.all_reduce(tensor)
            assert "c10d::allreduce_" in kernels() - before
        assert kernels() == before
    finally:
        distributed.destroy_process_group()


@pytest.mark.parametrize("recorder", RECORDERS)
def test_no_kernel_for_a_program_of_one_process(recorder: str) -> None:
    before = kernels()
    with memprof.trace(recorder=recorder):
        assert kernels() == before
