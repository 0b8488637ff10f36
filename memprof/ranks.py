"""Which of several processes this one is, and what it calls its files."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path


def rank_and_world() -> tuple[int, int] | None:
    """This process's rank and the number of processes, as far as they are known.

    The environment says it (torchrun sets RANK and WORLD_SIZE), or a process group that
    `torch.distributed` has been given already. None where neither does.
    """
    rank, world = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    if rank.isdecimal():
        return int(rank), int(world) if world.isdecimal() else 1
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return None


def of_this_rank(path: Path) -> Path:
    """The file that this process writes for `path`: of several processes each writes its own.

    ``trace.json`` becomes ``trace.rank0.json``. A name that tells the rank already stays, and so
    does every name where there is only one process.
    """
    known = rank_and_world()
    if known is None or known[1] < 2 or _tells(path.name, known[0]):
        return path
    return path.with_stem(f"{path.stem}.rank{known[0]}")


def _tells(name: str, rank: int) -> bool:
    return re.search(rf"rank[-_.]?0*{rank}(?!\d)", name) is not None
