"""How a program is predicted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from memprof.errors import UsageError
from memprof.predict.changes import check_changes
from memprof.predict.gpu import Gpu, gpu_named

DEVICES: Final = ("cuda", "cpu")
STRATEGIES: Final = ("fsdp2", "ddp", "tp")


@dataclass(frozen=True, slots=True)
class PredictOptions:
    """What the program finds, and what is changed of it.

    Attributes:
        device: "cuda", or "cpu" for a machine without a GPU.
        gpu: the GPU's name in the catalogue.
        without: names of rules that are switched off.
        ranks: the size of the world; None for a program alone.
        rank: the one of them that is predicted.
        strategy: how a program that is not distributed itself is made so; "" to leave it.
        changes: names of changes that are made to the program.
    """

    device: str = "cuda"
    gpu: str = "h100"
    without: tuple[str, ...] = ()
    ranks: int | None = None
    rank: int = 0
    strategy: str = ""
    changes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise UsageError(f"device {self.device!r} cannot be predicted: choose cuda or cpu")
        gpu_named(self.gpu)
        check_changes(self.changes)
        if self.ranks is not None and not 0 <= self.rank < self.ranks:
            raise UsageError(f"there is no rank {self.rank} of {self.ranks}")
        if self.strategy and self.strategy not in STRATEGIES:
            raise UsageError(
                f"strategy {self.strategy!r} is unknown: there is {', '.join(STRATEGIES)}; "
                "a program that is distributed itself needs none"
            )
        if self.strategy and (self.ranks is None or self.device != "cuda"):
            raise UsageError("a strategy needs --ranks, and GPUs")

    @property
    def target(self) -> Gpu | None:
        """The GPU that the program finds; None for a machine without one."""
        return gpu_named(self.gpu) if self.device == "cuda" else None
