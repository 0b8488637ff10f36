"""Every kind of finding, asked in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from memprof.analyze.analysis import Analysis
from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.findings.allocator import reserved_unused
from memprof.analyze.findings.cache import unused_cache
from memprof.analyze.findings.casts import weight_casts
from memprof.analyze.findings.checkpointing import checkpointing
from memprof.analyze.findings.finding import Finding
from memprof.analyze.findings.gradients import kept_gradients
from memprof.analyze.findings.growth import growth
from memprof.analyze.findings.loss import logits
from memprof.analyze.findings.optimizer import optimizer_temporaries
from memprof.analyze.findings.views import kept_by_views
from memprof.analyze.findings.weights import untied_weights, weight_copies

Finder = Callable[[Analysis, DeviceAnalysis], Iterator[Finding]]

FINDERS: tuple[Finder, ...] = (
    logits,
    kept_gradients,
    optimizer_temporaries,
    checkpointing,
    weight_casts,
    weight_copies,
    untied_weights,
    unused_cache,
    kept_by_views,
    growth,
    reserved_unused,
)
_LEAST_SHARE = 0.01


def findings(analysis: Analysis) -> list[Finding]:
    """What an analysis finds, the most bytes first; nothing below 1 % of a device's peak."""
    found = [
        finding
        for device in map(analysis.device, analysis.devices)
        for finder in FINDERS
        for finding in finder(analysis, device)
        if finding.bytes >= _LEAST_SHARE * device.peak.requested_bytes
    ]
    return sorted(found, key=lambda finding: -finding.bytes)
