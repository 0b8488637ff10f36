"""How a run trained: the call whose activations are alive at a moment, as the formulas see it."""

from __future__ import annotations

import numpy as np

from memprof.analyze.analysis import Analysis
from memprof.analyze.moment import Moment
from memprof.analyze.run_facts import RunFacts, Value
from memprof.estimate import Estimate, ModelSpec, RunSpec, not_estimated
from memprof.estimate.activations import activations, known_models
from memprof.trace import CATEGORIES, LABELS, Trace

BACKWARD = "backward"
#: A loss or another single number does not tell whether an output is held.
SCALAR_BYTES = 8


def activation_estimate(
    analysis: Analysis, facts: RunFacts, models: list[ModelSpec], moment: Moment
) -> Estimate:
    """The most that is kept for backward, with the shapes of the call at a moment."""
    if not has_phase(analysis.trace, BACKWARD):
        return Estimate(0, "nothing is kept for backward: there was none")
    found = training_run(analysis, facts, models, moment)
    return not_estimated(found) if isinstance(found, str) else activations(*found)


def training_run(
    analysis: Analysis, facts: RunFacts, models: list[ModelSpec], moment: Moment
) -> tuple[ModelSpec, RunSpec] | str:
    """The model that trains at a moment and how; where the trace does not tell, the reason why."""
    trace = analysis.trace
    if any(remark.code == "compiled" for remark in trace.warnings):
        return "compiled graphs ran: what they keep is the compiler's choice"
    trained = [model for model in facts.trained(models) if model.config]
    if len(trained) != 1:
        return _not_one(trained)
    model = trained[0]
    if model.model_type not in known_models():
        return f'no activation formula for models of type "{model.model_type}"'
    row = call_before(trace, moment.time_ns)
    if row is None or trace.phases.tokens[row] < 0:
        return "the shapes of the model's call are not known"
    call = next((c for c in reversed(facts.calls_of(model)) if c.get("grad")), {})
    return model, _run_spec(analysis, model, moment, row, call)


def call_before(trace: Trace, time_ns: int) -> int | None:
    """Number of the phase of the last model call that began by a time."""
    phases = trace.phases
    rows = np.flatnonzero((phases.batch > 0) & (phases.begin_ns <= time_ns))
    return int(rows[np.argmax(phases.begin_ns[rows])]) if len(rows) else None


def has_phase(trace: Trace, name: str) -> bool:
    """Whether a phase of that name is in the trace."""
    return name in {trace.strings[number] for number in np.unique(trace.phases.name)}


def _not_one(trained: list[ModelSpec]) -> str:
    if not trained:
        return "no model with a Hugging Face configuration was trained"
    return f"{len(trained)} models were trained at once"


def _run_spec(
    analysis: Analysis, model: ModelSpec, moment: Moment, row: int, call: Value
) -> RunSpec:
    phases = analysis.trace.phases
    kept, before = _outputs(analysis, moment, row)
    return RunSpec(
        mode="train",
        batch=int(phases.batch[row]),
        tokens=int(phases.tokens[row]),
        dtype=model.dtype,
        autocast=call.get("autocast") or "",
        checkpointing=model.gradient_checkpointing or has_phase(analysis.trace, "recompute"),
        attention=model.attention,
        loss="labels" in call.get("inputs", {}),
        dropout=bool(call.get("training", True)),
        padded=_masked(analysis.trace),
        outputs_kept=kept,
        outputs_before=before,
        device=moment.device.split(":")[0],
    )


def _masked(trace: Trace) -> bool:
    """Whether attention was given a mask, which it turns from booleans into numbers."""
    turned = [n for n, text in enumerate(trace.strings) if text == "aten.where.self"]
    modules = np.unique(trace.allocations.module[np.isin(trace.allocations.op, turned)])
    return any("attn" in trace.strings[number] for number in modules)


def _outputs(analysis: Analysis, moment: Moment, row: int) -> tuple[bool, bool]:
    """Whether the program holds a call's output in backward, and still that of an earlier call.

    An output that it drops before backward is not among the activations, whatever its size.
    """
    trace, kind = analysis.trace, LABELS.index("output")
    outputs = np.unique(trace.labels.allocation[trace.labels.kind == kind])
    outputs = outputs[trace.allocations.nbytes[outputs] > SCALAR_BYTES]
    category = analysis.attribution.category[outputs]
    outputs = outputs[category == CATEGORIES.index("activations")]
    birth, death = trace.allocations.birth[outputs], trace.allocations.death[outputs]
    begin, end = trace.phases.begin_ns[row], trace.phases.end_ns[row]
    born = trace.events.time_ns[birth]
    own = (born >= begin) & ((born <= end) | (end < 0))
    alive = (birth <= moment.event) & (death > moment.event)
    return bool(own.any()), bool((alive & (born < begin)).any())
