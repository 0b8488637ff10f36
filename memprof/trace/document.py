"""A trace in memory: the columns of its tables as numpy arrays, cross-references resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Allocations:
    """One entry an allocation; an allocation's index is its place in these arrays.

    Attributes:
        nbytes: bytes asked for.
        op, module, device: string numbers.
        phase: index into `Phases`.
        sequence: autograd node that was running, -1 outside backward.
        origin: index into `schema.ORIGINS`.
        previous: index of the allocation that this one replaces in the same storage, or -1.
        birth, death: event numbers; `death` is the number of events where it never died.
    """

    nbytes: Ints
    op: Ints
    module: Ints
    phase: Ints
    sequence: Ints
    device: Ints
    origin: Ints
    previous: Ints
    birth: Ints
    death: Ints

    def __len__(self) -> int:
        return len(self.nbytes)


@dataclass(frozen=True, slots=True)
class Events:
    """Births and deaths in their order.

    Attributes:
        time_ns: never decreasing.
        allocation: index of the allocation concerned.
        freed: True for a death.
    """

    time_ns: Ints
    allocation: Ints
    freed: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.time_ns)

    def at(self, time_ns: int) -> int:
        """Number of events up to and including `time_ns`."""
        return int(np.searchsorted(self.time_ns, time_ns, side="right"))


@dataclass(frozen=True, slots=True)
class Labels:
    """What recorders observed of allocations; `kind` is an index into `schema.LABELS`."""

    time_ns: Ints
    allocation: Ints
    kind: Ints
    name: Ints
    module: Ints


@dataclass(frozen=True, slots=True)
class Details:
    """Tensor text and stack text (string numbers) of some allocations."""

    allocation: Ints
    tensor: Ints
    stack: Ints


@dataclass(frozen=True, slots=True)
class Views:
    """Allocations that were alive for `covered` bytes of them, most of these in `tensor` (text)."""

    time_ns: Ints
    allocation: Ints
    covered: Ints
    tensor: Ints


@dataclass(frozen=True, slots=True)
class Streams:
    """Streams that allocations were made for (`recorded` 0) or are kept for (1).

    Only streams other than the device's default one, which is number 0, have rows.
    """

    time_ns: Ints
    allocation: Ints
    stream: Ints
    recorded: Ints


@dataclass(frozen=True, slots=True)
class Sequences:
    """From autograd node `sequence` on, in `thread`, nodes were made by `module`."""

    thread: Ints
    sequence: Ints
    module: Ints


@dataclass(frozen=True, slots=True)
class Phases:
    """Phases by number; number 0 is the time outside every phase.

    Attributes:
        name: string numbers.
        parent: number of the enclosing phase.
        begin_ns, end_ns: `end_ns` is -1 where the phase never ended.
        batch, tokens, context: of a model's call; -1 where not known.
    """

    name: Ints
    parent: Ints
    thread: Ints
    begin_ns: Ints
    end_ns: Ints
    batch: Ints
    tokens: Ints
    context: Ints

    def __len__(self) -> int:
        return len(self.name)


@dataclass(frozen=True, slots=True)
class Steps:
    """Beginnings of the turns of the program's loop in time order; a step's number is its place."""

    begin_ns: Ints

    def __len__(self) -> int:
        return len(self.begin_ns)


@dataclass(frozen=True, slots=True)
class Workspaces:
    """Bytes an operation used inside itself, over what it returned."""

    time_ns: Ints
    nbytes: Ints
    op: Ints
    module: Ints
    phase: Ints
    device: Ints


@dataclass(frozen=True, slots=True)
class Samples:
    """Measured levels, each of a series (string number)."""

    time_ns: Ints
    series: Ints
    value: Ints


@dataclass(frozen=True, slots=True)
class Fact:
    """Something observed of the program as a whole: `kind` is "model", "optimizer", ..."""

    kind: str
    time_ns: int
    value: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Remark:
    """A remark of the recorder on its own work; `count` is how often it happened."""

    code: str
    text: str
    count: int


@dataclass(frozen=True)
class Trace:
    """One recorded run.

    Attributes:
        source: the file's path, or "<memory>".
        header: what was known when the recording began (program, torch, recorder, devices, clock).
        summary: what the recorder counted at the end; empty if it never came to that.
        complete: False if the program was killed before the trace was closed.
        dropped_lines: 1 if the last line was torn, else 0.
    """

    source: str
    header: Mapping[str, Any]
    summary: Mapping[str, Any]
    complete: bool
    dropped_lines: int
    strings: tuple[str, ...]
    allocations: Allocations
    events: Events
    labels: Labels
    details: Details
    views: Views
    streams: Streams
    sequences: Sequences
    phases: Phases
    steps: Steps
    workspaces: Workspaces
    samples: Samples
    facts: tuple[Fact, ...]
    warnings: tuple[Remark, ...]

    @cached_property
    def devices(self) -> tuple[str, ...]:
        """Names of the devices that hold at least one allocation, in order of first use."""
        numbers, first = np.unique(self.allocations.device, return_index=True)
        return tuple(self.strings[number] for number in numbers[np.argsort(first)])

    @cached_property
    def begin_ns(self) -> int:
        """The trace's zero of time."""
        return int(self.header.get("begin_ns", 0))

    def facts_of(self, kind: str) -> list[Mapping[str, Any]]:
        """Values of all facts of one kind, oldest first."""
        return [fact.value for fact in self.facts if fact.kind == kind]
