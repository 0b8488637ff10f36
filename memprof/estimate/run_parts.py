"""What a run adds to one plain call: several devices, adapters, a cache of another kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from memprof.errors import UsageError

CacheKind = Literal["dynamic", "static", "paged", "quantised"]
KINDS = ("dynamic", "static", "paged", "quantised")


@dataclass(frozen=True, slots=True)
class Parallelism:
    """How a model is spread over devices.

    Attributes:
        dp: replicas that see different data.
        zero: what they split among themselves: 0 nothing, 1 the optimizer's state, 2 the
            gradients too, 3 the weights too (FSDP).
        tp: devices that split every matrix.
        sequence: whether these split the norms' activations along the sequence as well.
        pp: devices that split the layers.
        cp: devices that split the sequence.
        ep: devices that split the experts.
        micro_batches: calls that a pipeline has in a step.
    """

    dp: int = 1
    zero: int = 0
    tp: int = 1
    sequence: bool = False
    pp: int = 1
    cp: int = 1
    ep: int = 1
    micro_batches: int = 0

    def __post_init__(self) -> None:
        for name in ("dp", "tp", "pp", "cp", "ep"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.zero not in (0, 1, 2, 3):
            raise UsageError(f"zero is {self.zero}: it can be 0, 1, 2 or 3")

    @property
    def devices(self) -> int:
        """Devices of the whole run; experts are split among replicas that are there anyway."""
        return self.dp * self.tp * self.pp * self.cp


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """What a cache of keys and values is.

    Attributes:
        kind: "dynamic" grows with every call, "static" has all its slots from the start, "paged"
            grows by blocks, "quantised" keeps old tokens in few bits.
        dtype: of its elements; "" is that of the computation.
        block: tokens of a page.
        bits, group, residual: of a quantised cache: bits of an element, elements that share a
            scale and a zero point, and tokens kept as they are.
        expanded: whether attention over a latent (MLA) caches the heads it expands to.
    """

    kind: CacheKind = "dynamic"
    dtype: str = ""
    block: int = 16
    bits: int = 4
    group: int = 64
    residual: int = 128
    expanded: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"cache kind {self.kind!r} is unknown: choose {', '.join(KINDS)}")
        if self.block < 1:
            raise UsageError(f"block is {self.block}: a page holds at least 1 token")


@dataclass(frozen=True, slots=True)
class Lora:
    """Low-rank adapters on a frozen model.

    Attributes:
        rank: of both factors.
        targets: ends of the names of the layers that have one, such as "q_proj".
        dtype: of the adapters.
    """

    rank: int
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise UsageError(f"the rank of LoRA is {self.rank}: it must be at least 1")


@dataclass(frozen=True, slots=True)
class Request:
    """One request: tokens of its prompt, and new ones until it ends."""

    prompt: int
    new: int

    def __post_init__(self) -> None:
        if self.prompt < 1 or self.new < 1:
            raise UsageError(f"a request of {self.prompt}+{self.new} tokens: each is at least 1")

    @property
    def length(self) -> int:
        """All its tokens."""
        return self.prompt + self.new


@dataclass(frozen=True, slots=True)
class Serving:
    """Requests that are served.

    Attributes:
        requests: in the order in which they come.
        longest: tokens of prompt and answer that a contiguous cache has room for; 0 takes the
            longest request.
        prefix: tokens at the beginning that all have in common.
    """

    requests: tuple[Request, ...]
    longest: int = 0
    prefix: int = 0


@dataclass(frozen=True, slots=True)
class Drafting:
    """A small model that proposes tokens to the large one.

    Attributes:
        model: whatever describes it, such as its name in the catalogue.
        proposals: tokens of a round.
        acceptance: probability of each to be accepted.
    """

    model: object
    proposals: int = 4
    acceptance: float = 0.8


@dataclass(frozen=True, slots=True)
class Offloading:
    """Weights that stay on the host.

    Attributes:
        resident: layers that stay on the device.
        link: bytes per second from the host; None takes the machine's own.
        overlapped: whether the device computes while weights come.
    """

    resident: int
    link: float | None = None
    overlapped: bool = True
