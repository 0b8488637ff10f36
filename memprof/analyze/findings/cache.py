"""A cache of keys and values that was made for more tokens than it was given."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from memprof.analyze.analysis import Analysis
from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.findings.evidence import Shape, alive, of_category, shapes_of, spans
from memprof.analyze.findings.finding import Finding
from memprof.trace import Trace


def unused_cache(analysis: Analysis, device: DeviceAnalysis) -> Iterator[Finding]:
    """Tells of the slots of static caches alive at the peak that no token ever came to."""
    trace = analysis.trace
    longest = max((int(fact.get("max_length") or 0) for fact in trace.facts_of("cache")), default=0)
    held = of_category(device, alive(device, device.peak.event), "kv_cache")
    shapes = shapes_of(trace, held) if longest else {}
    reached = _reached(trace, list(shapes))
    unused = {i: _unused(trace, i, shapes[i], longest, reached[i]) for i in shapes}
    told = sorted(index for index, nbytes in unused.items() if nbytes)
    if not told:
        return
    most = max(reached[index] for index in told)
    yield Finding(
        kind="unused_cache",
        bytes=sum(unused.values()),
        text=f"The static cache has room for {longest:,} tokens of each sequence; {most:,} came.",
        fix=f"Create it with max_cache_len={most}, or as much as you will need, or take a dynamic "
        "cache, which grows.",
        device=device.name,
        event=device.peak.event,
        allocations=tuple(told),
    )


def _unused(trace: Trace, index: int, shape: Shape, longest: int, reached: int) -> int:
    """Bytes of a cache tensor [batch, heads, slots, size] behind the last token that came."""
    if len(shape.sizes) != 4 or not 0 < shape.sizes[2] <= longest:
        return 0
    slots = shape.sizes[2]
    return int(trace.allocations.nbytes[index]) // slots * max(slots - reached, 0)


def _reached(trace: Trace, allocations: list[int]) -> dict[int, int]:
    """The most tokens of a sequence that the calls held while each allocation was alive."""
    times = np.append(trace.events.time_ns, np.iinfo(np.int64).max)
    calls = spans(trace, "prefill", "decode")
    begins, ends = np.array([(call.begin_ns, call.end_ns) for call in calls]).reshape(-1, 2).T
    numbers = [call.number for call in calls]
    context, tokens = trace.phases.context[numbers], trace.phases.tokens[numbers]
    held = np.maximum(context, 0) + np.maximum(tokens, 0)
    found = {}
    for index in allocations:
        born, died = times[[trace.allocations.birth[index], trace.allocations.death[index]]]
        found[index] = int(held[(ends >= born) & (begins <= died)].max(initial=0))
    return found
