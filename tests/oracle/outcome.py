"""What one program is and what came of it, as it travels between processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.oracle.probe import Probe


@dataclass(frozen=True)
class Program:
    """A program under study.

    Attributes:
        run: the program; it runs its part worth tracing inside `probe.traced()`.
        workspaces: why its highest moment lies inside an operator, where only
            `peak_with_workspaces` can reach it; empty if the traced peak is the peak.
        outside: why another library takes blocks of the counted kind during the run, so that the
            count is only an upper bound; empty if it is exact.
        loose: its tensors belong to no model, optimizer or backward pass.
    """

    run: Callable[[Probe], None]
    workspaces: str = ""
    outside: str = ""
    loose: bool = False

    def without_onednn(self) -> Program:
        """The same program on PyTorch's own kernels, whose memory is all PyTorch's."""
        return replace(self, run=partial(_without_onednn, self.run), outside="")


def _without_onednn(run: Callable[[Probe], None], probe: Probe) -> None:
    import torch

    with torch.backends.mkldnn.flags(enabled=False):
        run(probe)


@dataclass
class Claim:
    """What the objects themselves say that a category holds at a moment, in bytes."""

    category: str
    time_ns: int
    expected: int
    measured: int = -1


@dataclass
class Outcome:
    """Both truths about one program, in bytes.

    Attributes:
        before: counted when the recording began, beyond what the recording knew of.
        growth: from the beginning to the highest count; `plain_growth` that without tracing.
        hashes: of results of the traced run; `plain_hashes` those of the run without tracing.
        levels: counted and recorded bytes at each claim.
        facts: what the program noted of its own accord.
        ops: names of all operators that allocated.
        modules: modules that the allocations alive at the peak were made in.
        skipped, error: why there is no outcome.
    """

    recorder: str = ""
    true_peak: int = 0
    traced_peak: int = 0
    peak_with_workspaces: int = 0
    true_end: int = 0
    traced_end: int = 0
    before: int = 0
    growth: int = 0
    plain_growth: int = 0
    events: int = 0
    by_category: dict[str, int] = field(default_factory=dict)
    category_peaks: dict[str, int] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    levels: list[tuple[int, int]] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    plain_hashes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)
    ops: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)
    skipped: str = ""
    error: str = ""

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Outcome:
        claims = [Claim(**claim) for claim in value.pop("claims")]
        return cls(claims=claims, **value)
