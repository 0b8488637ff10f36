"""What a trace says was run, in the terms of the formulas: models, optimizers, calls, caches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
    """

    models: tuple[tuple[int, ModelSpec], ...]
    optimizers: tuple[tuple[int, OptimizerSpec], ...]
    calls: tuple[Value, ...]
    caches: tuple[Value, ...]

    def models_at(self, time_ns: int) -> list[ModelSpec]:
        """Each model as it was at a time; one first noted later as it was noted first."""
        chosen: dict[str, ModelSpec] = {}
        for noted_ns, model in self.models:
            if noted_ns <= time_ns or model.root not in chosen:
                chosen[model.root] = model
        return list(chosen.values())

    def call_of(self, root: str, *, grad: bool | None = None) -> Value | None:
        """The last noted style in which a model was called."""
        found = [call for call in self.calls if call.get("root") == root]
        if grad is not None:
            found = [call for call in found if bool(call.get("grad")) == grad]
        return found[-1] if found else None


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
    )
