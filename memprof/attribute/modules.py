"""Which module made an allocation: named at its birth, or in backward by the autograd node."""

from __future__ import annotations

import numpy as np

from memprof.trace import Trace
from memprof.trace.document import Ints


def birth_modules(trace: Trace) -> Ints:
    """Returns the module (string number, 0 for none) at work when each allocation was born.

    In backward the running autograd node says it: the module that made this node, which is that
    of the last row of `trace.sequences`, of the same thread, with a sequence number not above the
    node's. Each thread numbers its nodes by itself; a backward runs its own thread's nodes.
    """
    rows = trace.sequences
    modules = trace.allocations.module
    asked = np.flatnonzero((modules == 0) & (trace.allocations.sequence >= 0))
    if not len(rows.sequence) or not len(asked):
        return modules
    threads = np.unique(rows.thread)
    known = _key(threads, rows.thread, rows.sequence)
    order = np.argsort(known, kind="stable")
    phase = trace.allocations.phase[asked]
    asking = np.where(phase > 0, trace.phases.thread[phase], rows.thread[0])
    wanted = _key(threads, asking, trace.allocations.sequence[asked])
    place = np.searchsorted(known[order], wanted, side="right") - 1
    row = order[np.maximum(place, 0)]
    same_thread = (place >= 0) & (rows.thread[row] == asking)
    resolved = modules.copy()
    resolved[asked] = np.where(same_thread, rows.module[row], 0)
    return resolved


def _key(threads: Ints, thread: Ints, sequence: Ints) -> Ints:
    """One number that orders by thread first and by sequence within it."""
    return np.searchsorted(threads, thread) * (1 << 40) + np.minimum(sequence, (1 << 40) - 1)
