"""How the recorder itself changed what the program allocated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memprof.trace import Trace

_SUM = "aten.add.Tensor"


@dataclass(frozen=True, slots=True)
class OutOfPlaceSums:
    """Sums of gradients that PyTorch makes out of place while a dispatch mode is on.

    Where a tensor was used more than once, its gradients are added up. Without a dispatch mode
    autograd adds into the first of them if no one else holds it; with one it always allocates.

    Attributes:
        count: additions seen in backward; an upper bound, as a backward formula may add as well.
        bytes: what they allocated altogether.
        largest: the largest of them, the most by which the peak can have risen.
    """

    count: int
    bytes: int
    largest: int


def out_of_place_sums(trace: Trace) -> OutOfPlaceSums:
    """Finds the additions of a backward pass under the dispatch hook; none under another."""
    allocations = trace.allocations
    if trace.header.get("recorder") not in ("dispatch", "fake") or _SUM not in trace.strings:
        return OutOfPlaceSums(0, 0, 0)
    is_sum = allocations.op == trace.strings.index(_SUM)
    sizes = allocations.nbytes[np.flatnonzero(is_sum & (allocations.sequence >= 0))]
    return OutOfPlaceSums(len(sizes), int(sizes.sum()), int(sizes.max(initial=0)))
