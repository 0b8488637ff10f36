"""The process group of a rank whose partners do not exist."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore

from memprof.predict.cluster.replicas import stand_in_for_answers
from memprof.predict.cluster.strategies import distribute
from memprof.record.patches import Patches


def join(ranks: int, rank: int, strategy: str, patches: Patches) -> None:
    """Gives the program its rank and a process group; undoing `patches` takes them away.

    Args:
        ranks: the size of the world.
        rank: the one that this process plays.
        strategy: how a program that is not distributed itself is made so; "" to leave it.
        patches: what is replaced.
    """

    def wrap(begin: Callable[..., None]) -> Callable[..., None]:
        def init_process_group(*args: Any, **kwargs: Any) -> None:
            if not dist.is_initialized():
                begin("fake", store=FakeStore(), rank=rank, world_size=ranks)

        return init_process_group

    names = {"RANK": rank, "LOCAL_RANK": 0, "WORLD_SIZE": ranks}
    for name, value in {**names, "MASTER_ADDR": "localhost", "MASTER_PORT": 0}.items():
        patches.set_variable(name, str(value))
    patches.replace(dist, "init_process_group", wrap)
    patches.on_undo(_leave)
    stand_in_for_answers(patches)
    if strategy:
        dist.init_process_group()
        distribute(strategy, ranks, patches)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
