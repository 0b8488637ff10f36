"""Numbers from a trace: levels over time, peaks, live sets, modules, steps, the report."""

from memprof.analyze.analysis import Analysis, analyze
from memprof.analyze.device import DeviceAnalysis, WorkspacePeak
from memprof.analyze.diff import Change, DeviceDiff, diff
from memprof.analyze.groups import TensorGroup, grouped_top
from memprof.analyze.leaks import Leak, leaks
from memprof.analyze.levels import CategoryPeak
from memprof.analyze.live import LiveSet, LiveTensor
from memprof.analyze.modules import ModuleRow, module_table
from memprof.analyze.moment import Moment
from memprof.analyze.phases import PhaseSpan, phase_spans
from memprof.analyze.report import report_document
from memprof.analyze.steps import StepRow, step_table
from memprof.analyze.timeline import Timeline
from memprof.analyze.waterfall import waterfall

__all__ = [
    "Analysis",
    "CategoryPeak",
    "Change",
    "DeviceAnalysis",
    "DeviceDiff",
    "Leak",
    "LiveSet",
    "LiveTensor",
    "ModuleRow",
    "Moment",
    "PhaseSpan",
    "StepRow",
    "TensorGroup",
    "Timeline",
    "WorkspacePeak",
    "analyze",
    "diff",
    "grouped_top",
    "leaks",
    "module_table",
    "phase_spans",
    "report_document",
    "step_table",
    "waterfall",
]
