"""Which module made an allocation: named at its birth, or in backward by the autograd node."""

from __future__ import annotations

import numpy as np

from memprof.trace import Trace
from memprof.trace.document import Ints


def birth_modules(trace: Trace) -> Ints:
    """Returns the module (string number, 0 for none) at work when each allocation was born.

    In backward the running autograd node says it: the module that made this node, which is that
    of the last row of `trace.sequences` with a sequence number not above the node's.
    """
    rows = trace.sequences
    modules = trace.allocations.module
    asked = np.flatnonzero((modules == 0) & (trace.allocations.sequence >= 0))
    if not len(rows.sequence) or not len(asked):
        return modules
    order = np.argsort(rows.sequence, kind="stable")
    wanted = trace.allocations.sequence[asked]
    place = np.searchsorted(rows.sequence[order], wanted, side="right") - 1
    resolved = modules.copy()
    resolved[asked] = np.where(place >= 0, rows.module[order[np.maximum(place, 0)]], 0)
    return resolved
