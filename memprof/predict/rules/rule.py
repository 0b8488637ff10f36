"""What a rule is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch

from memprof.predict.gpu import Gpu


class Held(NamedTuple):
    """Memory that a kernel takes beside its results.

    Attributes:
        nbytes: how much.
        what: its name in the trace.
        key: "" for memory that goes when the kernel ends; else it stays, once for each key.
    """

    nbytes: int
    what: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of an operator on the target.

    Attributes:
        func: the operator.
        args: its arguments by position.
        gpu: the target.
        in_backward: whether autograd calls it, from a thread and with a handle of its own.
    """

    func: Any
    args: tuple[Any, ...]
    gpu: Gpu
    in_backward: bool

    def tensor(self, place: int) -> torch.Tensor:
        """An argument that is a tensor."""
        found: torch.Tensor = self.args[place]
        return found


class Rule(Protocol):
    """One rule.

    Attributes:
        name: what switches it off.
        source: where it is from.
        funcs: the operators that it speaks of.
    """

    name: str
    source: str
    funcs: frozenset[Any]

    def held(self, call: Call) -> list[Held]:
        """What the kernel of this call takes beside its results."""
