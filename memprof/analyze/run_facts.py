"""What a trace says was run, in the terms of the formulas: models, optimizers, calls, caches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from memprof.estimate import ModelSpec, OptimizerSpec
from memprof.trace import Trace

Value = Mapping[str, Any]


@dataclass(frozen=True)
class RunFacts:
    """The facts of a trace, read once.

    Attributes:
        models: (time in ns, model) in the order in which they were noted.
        optimizers: (time in ns, optimizer).
        calls, caches: the facts as they were recorded.
        cached_phases: numbers of the phases `prefill` and `decode`.
    """

    models: tuple[tuple[int, ModelSpec], ...]
    optimizers: tuple[tuple[int, OptimizerSpec], ...]
    calls: tuple[Value, ...]
    caches: tuple[Value, ...]
    cached_phases: frozenset[int]

    def models_at(self, time_ns: int) -> list[ModelSpec]:
        """Each model as it was at a time; one first noted later as it was noted first."""
        chosen: dict[int, ModelSpec] = {}
        for noted_ns, model in self.models:
            if noted_ns <= time_ns or model.number not in chosen:
                chosen[model.number] = model
        return list(chosen.values())

    def calls_of(self, model: ModelSpec) -> list[Value]:
        """The styles in which a model was called, oldest first."""
        return [call for call in self.calls if call.get("model", 0) == model.number]

    def trained(self, models: list[ModelSpec]) -> list[ModelSpec]:
        """Those of the models that were called with autograd on."""
        return [m for m in models if any(call.get("grad") for call in self.calls_of(m))]

    def generating(self, models: list[ModelSpec]) -> list[ModelSpec]:
        """Those of the models with a configuration that were called in prefill or decode."""
        return [
            model
            for model in models
            if model.config
            and any(call.get("phase") in self.cached_phases for call in self.calls_of(model))
        ]


def run_facts(trace: Trace) -> RunFacts:
    """Reads the facts of a trace."""
    return RunFacts(
        models=tuple(
            (fact.time_ns, ModelSpec.from_fact(fact.value))
            for fact in trace.facts
            if fact.kind == "model"
        ),
        optimizers=tuple(
            (fact.time_ns, OptimizerSpec.from_fact(fact.value))
            for fact in trace.facts
            if fact.kind == "optimizer"
        ),
        calls=tuple(trace.facts_of("call")),
        caches=tuple(trace.facts_of("cache")),
        cached_phases=_cached_phases(trace),
    )


def _cached_phases(trace: Trace) -> frozenset[int]:
    names = [n for n, text in enumerate(trace.strings) if text in ("prefill", "decode")]
    return frozenset(np.flatnonzero(np.isin(trace.phases.name, names)).tolist())
