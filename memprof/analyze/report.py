"""The report of a trace as plain data: what `memprof report --json` prints."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from memprof.analyze.analysis import Analysis
from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.driver import driver_document, host_document
from memprof.analyze.findings import findings
from memprof.analyze.groups import TensorGroup, grouped_top
from memprof.analyze.modules import module_table
from memprof.analyze.moment import Moment
from memprof.analyze.observer import out_of_place_sums
from memprof.analyze.out_of_memory import out_of_memory
from memprof.analyze.phases import end_ns, seconds
from memprof.analyze.self_check import self_check
from memprof.analyze.steps import StepRow, step_table
from memprof.analyze.trainable import weights_at
from memprof.analyze.waterfall import waterfall
from memprof.trace import Trace

SCHEMA = 1
_HEADER = ("program", "rank", "torch", "python", "memprof", "recorder", "recorder_reason")


def report_document(analysis: Analysis, *, top: int = 20, depth: int = 3) -> dict[str, Any]:
    """Builds the report: a dict of ints, floats, strings and lists, ready for `json.dumps`.

    `observer` says how recording itself changed what was allocated, `self_check` what steps
    without it allocated (None if that was not asked for), `out_of_memory` when
    memory ran out last (None if never), `nvml` and `host` what the driver and the
    system said. Each device has, beside its
    moments, `category_peaks` (each category's own highest bytes and the event that reached them),
    `unseen` (the peak with the workspaces of operations counted in), `steps` and `modules` (of the
    peak, paths cut to `depth` parts); each entry of `top` says how many alike tensors (`count`) it
    stands for. `findings` are those of all devices, the most bytes first.

    Args:
        analysis: what to report on.
        top: how many groups of alike tensors to list at each peak.
        depth: how many parts of a module's path to tell apart.
    """
    trace = analysis.trace
    return {
        "schema": SCHEMA,
        "trace": trace_document(trace),
        "complete": trace.complete,
        "warnings": [
            {"code": remark.code, "text": remark.text, "count": remark.count}
            for remark in trace.warnings
        ],
        "observer": asdict(out_of_place_sums(trace)),
        "self_check": self_check(trace),
        "out_of_memory": out_of_memory(trace),
        "nvml": driver_document(trace),
        "host": host_document(trace),
        "devices": {name: _device(analysis.device(name), top, depth) for name in analysis.devices},
        "findings": [asdict(finding) for finding in findings(analysis)],
    }


def trace_document(trace: Trace) -> dict[str, Any]:
    """Says what was recorded: the program, its surroundings, how long and how much."""
    return {
        "source": trace.source,
        **{key: trace.header.get(key) for key in _HEADER},
        "seconds": seconds(trace, end_ns(trace)),
        "events": len(trace.events),
        "allocations": len(trace.allocations),
        "steps": len(trace.steps),
        "phases": len(trace.phases) - 1,
    }


def _device(device: DeviceAnalysis, top: int, depth: int) -> dict[str, Any]:
    trace, peak = device.levels.trace, device.peak
    about = trace.header.get("devices", {}).get(device.name, {})
    groups = [_group(group) for group in grouped_top(peak, top)]
    return {
        "name": about.get("name"),
        "total_bytes": about.get("total_bytes"),
        "peak": {**_moment(peak), "top": groups, "weights": asdict(weights_at(trace, peak))},
        "end": _moment(device.end),
        "category_peaks": {
            category: {"bytes": found.bytes, "event": found.event}
            for category, found in device.category_peaks.items()
        },
        "waterfall": waterfall(trace, device.name, peak).document(),
        "unseen": _unseen(device),
        "steps": [_step(row) for row in step_table(device)],
        "modules": _modules(device, depth),
    }


def _moment(moment: Moment) -> dict[str, Any]:
    return {
        "event": moment.event,
        "time_ns": moment.time_ns,
        "seconds": moment.seconds,
        "step": moment.step,
        "phase": moment.phase,
        "module": moment.module,
        "op": moment.op,
        "requested_bytes": moment.requested_bytes,
        "by_category": moment.by_category,
    }


def _group(group: TensorGroup) -> dict[str, Any]:
    example = group.example
    return {
        "bytes": group.bytes,
        "bytes_each": group.bytes_each,
        "count": group.count,
        "category": group.category,
        "name": group.name,
        "module": group.module,
        "op": group.op,
        "tensor": group.tensor,
        "stack": example.stack,
        "rule": example.rule,
        "phase": example.phase,
        "streams": list(example.streams),
    }


def _unseen(device: DeviceAnalysis) -> dict[str, Any]:
    highest = device.peak_with_workspaces
    return {
        "workspaces_peak_bytes": highest.bytes,
        "workspace_bytes": highest.workspace,
        "event": highest.event,
        "op": highest.op if highest.workspace else "",
    }


def _step(row: StepRow) -> dict[str, Any]:
    return {
        "step": row.step,
        "begin_seconds": row.begin,
        "end_seconds": row.end,
        "peak_bytes": row.peak_bytes,
        "peak_event": row.peak_event,
        "peak_phase": row.peak_phase,
        "end_bytes": row.end_bytes,
    }


def _modules(device: DeviceAnalysis, depth: int) -> list[dict[str, Any]]:
    return [
        {
            "module": row.module,
            "bytes": row.bytes,
            "count": row.count,
            "by_category": row.by_category,
        }
        for row in module_table(device, device.peak, depth)
    ]
