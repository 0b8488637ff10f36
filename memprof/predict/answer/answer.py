"""The answer to ``memprof predict`` as plain data."""

from __future__ import annotations

from typing import Any

from memprof.analyze import Analysis
from memprof.analyze.report import report_document
from memprof.predict.answer.again import Again, again_options, cheapest_changes
from memprof.predict.answer.fits import CONTEXT_BYTES, fits
from memprof.predict.answer.levels import highest_levels
from memprof.predict.answer.roles import roles
from memprof.predict.answer.search import Range, largest
from memprof.predict.gpu import gpu_named
from memprof.predict.options import PredictOptions

SCHEMA = 1


def answer(analysis: Analysis, options: PredictOptions) -> dict[str, Any]:
    """What the predicted program needs, and where it fits.

    `needed_bytes` is what its fullest device must have: what the allocator reserves at most, and
    the context. A program that never asks for a GPU is judged as if it had put all there.

    Args:
        analysis: the predicted trace.
        options: how it was predicted.

    Returns:
        `peak` with its bytes by category, `fits` by GPU, and the report of the trace.
    """
    report = report_document(analysis)
    name = fullest_device(analysis)
    document = {
        "schema": SCHEMA,
        "trace": report["trace"],
        "complete": report["complete"],
        "warnings": report["warnings"],
        "gpu": gpu_named(options.gpu).hardware.key,
        "device": name,
        "devices": {name: report["devices"][name]} if name else {},
    }
    if name is None:
        return {**document, "needed_bytes": 0, "peak": None, "fits": {}}
    levels = highest_levels(analysis.trace, name)
    return {
        **document,
        "needed_bytes": levels.reserved_bytes + CONTEXT_BYTES,
        "context_bytes": CONTEXT_BYTES,
        "peak": {
            "requested_bytes": levels.requested_bytes,
            "allocated_bytes": levels.allocated_bytes,
            "reserved_bytes": levels.reserved_bytes,
            "by_category": analysis.device(name).peak.by_category,
        },
        "fits": fits(levels),
    }


def full_answer(
    analysis: Analysis,
    options: PredictOptions,
    program: tuple[str, ...],
    searched: Range | None = None,
    *,
    changes: bool = True,
    every_role: bool = False,
) -> dict[str, Any]:
    """The answer, with what only further predictions of the program can say.

    Args:
        analysis: the predicted trace.
        options: how it was predicted.
        program: the program and its arguments.
        searched: the argument of the program whose largest value is looked for.
        changes: look for changes that make it fit, if it does not.
        every_role: predict the last rank too, where there are several.

    Returns:
        the answer with `roles`, `search` and `changes`, None where they were not looked for.
    """
    document = answer(analysis, options)
    again = Again(again_options(options), program, document["gpu"])
    looks = changes and not document["fits"].get(document["gpu"], {"fits": True})["fits"]
    ranks = options.ranks or 1
    return {
        **document,
        "roles": roles(again, document, ranks) if every_role and ranks > 1 else None,
        "search": None if searched is None else largest(again, searched),
        "changes": cheapest_changes(again, document["needed_bytes"]) if looks else None,
    }


def fullest_device(analysis: Analysis) -> str | None:
    """The GPU that holds the most; the host for a program that uses none."""
    gpus = [name for name in analysis.devices if name != "cpu"]
    return max(
        gpus or analysis.devices,
        key=lambda name: analysis.device(name).peak.requested_bytes,
        default=None,
    )
