"""What is taken for granted of PyTorch's hooks where a device has threads of its own."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from .claim import Bench, Claim, Seen


class _Threads(TorchDispatchMode):
    """The threads that operators are dispatched in."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        thread = threading.get_ident()
        self.seen[thread] = self.seen.get(thread, 0) + 1
        return func(*args, **(kwargs or {}))


def threads_of_a_device_inherit_a_mode(bench: Bench) -> Seen:
    """A dispatch mode hears backward's operators, which run in a thread of the device."""
    x = torch.ones(8, 8, device=bench.device, requires_grad=True)
    loss = (x @ x).exp().sum()
    with _Threads() as mode:
        loss.backward()
    here = threading.get_ident()
    told = {"operators": sum(mode.seen.values()), "here": mode.seen.get(here, 0)}
    return {"holds": told["operators"] > told["here"], **told}


CLAIMS = (Claim(threads_of_a_device_inherit_a_mode, "the dispatch hook: threads", False),)
