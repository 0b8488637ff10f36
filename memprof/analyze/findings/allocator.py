"""What the CUDA allocator has reserved from the driver and not handed out."""

from __future__ import annotations

from collections.abc import Iterator

from memprof.analyze.analysis import Analysis
from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.findings.finding import Finding
from memprof.analyze.samples import level_at
from memprof.units import format_bytes

_LEAST = 256 << 20
_LEAST_SHARE = 0.10
_OF_FRAGMENTS = (
    "Set PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True; where sizes change from step to step, "
    "pad them to a few sizes."
)
_OF_CACHE = (
    "Call torch.cuda.empty_cache() once after what needed more, such as loading or evaluation; "
    "within a loop the cache saves time, and only what other processes lack is lost."
)


def reserved_unused(analysis: Analysis, device: DeviceAnalysis) -> Iterator[Finding]:
    """Tells of bytes reserved and not allocated at the peak: over 10 % and over 256 MiB."""
    trace, peak = analysis.trace, device.peak
    allocated = level_at(trace, f"{device.name}/allocated_bytes", peak.time_ns)
    reserved = level_at(trace, f"{device.name}/reserved_bytes", peak.time_ns)
    if allocated is None or reserved is None:
        return
    unused = reserved - allocated
    if unused <= _LEAST or unused <= _LEAST_SHARE * reserved:
        return
    split = level_at(trace, f"{device.name}/inactive_split_bytes", peak.time_ns)
    where = "in its cache or between blocks"
    if split is not None:
        between = min(split, unused)
        where = f"{format_bytes(between)} between blocks, the rest in its cache"
    yield Finding(
        kind="reserved_unused",
        bytes=unused,
        text=f"PyTorch's allocator has reserved {format_bytes(reserved)} on {device.name} and "
        f"handed out {format_bytes(allocated)} of them; the others lie {where}.",
        fix=_OF_CACHE if split is not None and 2 * split < unused else _OF_FRAGMENTS,
        device=device.name,
        event=peak.event,
    )
