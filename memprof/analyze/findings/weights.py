"""Weights that are held twice: casts kept by autocast, copies of a model, clones of a state."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from memprof.analyze.analysis import Analysis
from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.findings.evidence import (
    Shape,
    alive,
    of_category,
    operation,
    shapes_of,
    total_bytes,
)
from memprof.analyze.findings.finding import Finding
from memprof.analyze.run_facts import run_facts
from memprof.estimate import ModelSpec

_CLONES = ("clone", "_to_copy", "")  # what existed before the recording has no operation
_COVERED = 0.5
_WITHIN_STEP = ("forward", "prefill", "decode", "recompute", "backward", "optimizer")


def weight_casts(analysis: Analysis, device: DeviceAnalysis) -> Iterator[Finding]:
    """Tells of weights that are alive at the peak in a second dtype, cast in their own module."""
    trace, module = analysis.trace, analysis.attribution.module
    held = alive(device, device.peak.event)
    own: defaultdict[int, set[Shape]] = defaultdict(set)
    for index, shape in shapes_of(trace, of_category(device, held, "weights")).items():
        own[int(module[index])].add(shape)
    made = shapes_of(trace, of_category(device, held, "activations", "temporary"))
    casts = [
        index
        for index, shape in made.items()
        if operation(trace, index) == "_to_copy" and _is_cast(shape, own[int(module[index])])
    ]
    if not casts:
        return
    dtypes = ", ".join(sorted({made[index].dtype for index in casts}))
    yield Finding(
        kind="weight_casts",
        bytes=total_bytes(device, casts),
        text=f"{len(casts):,} weights are alive at the peak a second time, cast to {dtypes} "
        "where they are used, as autocast does.",
        fix=f"Hold the weights in {dtypes} (model.to(...)), with an optimizer that rounds "
        "stochastically or keeps float32 copies itself; or checkpoint the layers, which drops the "
        "casts too.",
        device=device.name,
        event=device.peak.event,
        allocations=tuple(sorted(casts)),
    )


def _is_cast(shape: Shape, weights: set[Shape]) -> bool:
    return any(shape.sizes == own.sizes and shape.dtype != own.dtype for own in weights)


def weight_copies(analysis: Analysis, device: DeviceAnalysis) -> Iterator[Finding]:
    """Tells of second models with the weights of a first, and of clones of most of its weights."""
    for copy, original in _second_models(analysis):
        held = _weights_of(analysis, device, copy)
        if held:
            yield _finding(
                device,
                held,
                f"{copy.root} has the shapes of {original.root} and is not trained: its weights "
                "lie beside those of the first, such as an average or a reference.",
            )
    clones = _clones(analysis, device)
    if clones:
        yield _finding(
            device,
            clones,
            f"{len(clones):,} clones have the shapes of weights and belong to no model: such as a "
            "kept state_dict or an average of the weights.",
        )


def _finding(device: DeviceAnalysis, held: list[int], text: str) -> Finding:
    return Finding(
        kind="weight_copies",
        bytes=total_bytes(device, held),
        text=text,
        fix=f"Keep the copy {'on disk' if device.name == 'cpu' else 'in host memory'} or in a "
        "smaller dtype; a reference for LoRA is the model itself with its adapters disabled.",
        device=device.name,
        event=device.peak.event,
        allocations=tuple(sorted(held)),
    )


def _second_models(analysis: Analysis) -> Iterator[tuple[ModelSpec, ModelSpec]]:
    """Yields (copy, original) for models alike of which only the original is trained or called."""
    facts = run_facts(analysis.trace)
    models = facts.models_at(0)
    trained = {model.number for model in facts.trained(models)}
    called = {model.number for model in models if facts.calls_of(model)}
    for copy in models:
        alike = [each for each in models if _sizes(each) == _sizes(copy) and copy.parameters]
        in_use = trained if any(each.number in trained for each in alike) else called
        originals = [each for each in alike if each.number in in_use]
        if copy.number not in in_use and originals:
            yield copy, originals[0]


def _sizes(model: ModelSpec) -> Counter[tuple[int, ...]]:
    return Counter(tensor.shape for tensor in model.unique_parameters())


def _weights_of(analysis: Analysis, device: DeviceAnalysis, model: ModelSpec) -> list[int]:
    """Weights of one model that are alive at the peak; names of the first model have no prefix."""
    strings, name = analysis.trace.strings, analysis.attribution.name
    held = of_category(device, alive(device, device.peak.event), "weights").tolist()
    names = {tensor.name for tensor in model.parameters}
    full = {f"{model.root}.{each}" for each in names}
    prefixed = [index for index in held if strings[name[index]] in full]
    return prefixed or [index for index in held if strings[name[index]] in names]


def _clones(analysis: Analysis, device: DeviceAnalysis) -> list[int]:
    """Clones made outside of forward, backward and step with the shapes of most weights' bytes."""
    trace, lives = analysis.trace, analysis.lifetimes
    held = alive(device, device.peak.event)
    weights = shapes_of(trace, of_category(device, held, "weights"))
    wanted = Counter(shape.sizes for shape in weights.values())
    free = of_category(device, held, "unattributed", "temporary")
    outside = shapes_of(trace, free[~lives.born_in(*_WITHIN_STEP)[free]])
    clones = {
        index: shape
        for index, shape in outside.items()
        if shape.sizes in wanted and operation(trace, index) in _CLONES
    }
    found = Counter(shape.sizes for shape in clones.values()) & wanted
    covered = _elements(found) >= _COVERED * _elements(wanted)
    return list(clones) if clones and covered else []


def _elements(shapes: Counter[tuple[int, ...]]) -> int:
    return sum(Shape("", sizes).elements * count for sizes, count in shapes.items())
