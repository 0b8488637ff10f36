"""Several traces at once: the ranks of one run, or runs to hold against each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from memprof.trace import Trace


def are_ranks(traces: Sequence[Trace]) -> bool:
    """Whether the traces are those of one run's processes: one program, each of another rank."""
    ranks = [trace.header.get("rank") for trace in traces]
    programs = {tuple(map(str, trace.header.get("program") or ())) for trace in traces}
    return None not in ranks and len(set(ranks)) == len(ranks) and len(programs) == 1


def trace_names(traces: Sequence[Trace]) -> list[str]:
    """What tells each trace from the others: its rank in one run, else its file's name or path."""
    if are_ranks(traces):
        return [f"rank {trace.header['rank']}" for trace in traces]
    names = [Path(trace.source).name for trace in traces]
    return names if len(set(names)) == len(names) else [trace.source for trace in traces]
