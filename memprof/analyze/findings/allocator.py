"""What the CUDA allocator has reserved from the driver and not handed out."""

from __future__ import annotations

from collections.abc import Iterator

from memprof.analyze.analysis import Analysis
from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.findings.finding import Finding
from memprof.analyze.waterfall import level_at
from memprof.units import format_bytes

_LEAST = 256 << 20
_LEAST_SHARE = 0.10


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
    yield Finding(
        kind="reserved_unused",
        bytes=unused,
        text=f"PyTorch's allocator has reserved {format_bytes(reserved)} on {device.name} and "
        f"handed out {format_bytes(allocated)} of them: the rest lies in its cache or between "
        "blocks.",
        fix="Set PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True; where sizes change from step to "
        "step, pad them to a few sizes.",
        device=device.name,
        event=peak.event,
    )
