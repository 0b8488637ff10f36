"""What a recording wraps of PyTorch's distributed code is as before when it has ended."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from torch import distributed

import memprof
from memprof.record.labels.sharded import GROUP_MODULE, PARAM_MODULE

PARAMETERS = importlib.import_module(PARAM_MODULE)
GROUPS = importlib.import_module(GROUP_MODULE)


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (distributed.Reducer, ["__init__", "_rebuild_buckets"]),
        (PARAMETERS.FSDPParam, ["init_unsharded_param", "to_accumulated_grad_if_needed"]),
        (GROUPS, ["foreach_reduce"]),
    ],
)
def test_left_alone(owner: Any, names: list[str]) -> None:
    before = dict(vars(owner))
    with memprof.trace():
        during = dict(vars(owner))
    assert dict(vars(owner)) == before
    assert [name for name in before if during[name] is not before[name]] == names
