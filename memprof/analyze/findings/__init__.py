"""Memory that a run holds without need: one file a kind, each a pure function of the analysis."""

from memprof.analyze.findings.finding import Finding
from memprof.analyze.findings.registry import findings

__all__ = ["Finding", "findings"]
