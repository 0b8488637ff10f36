"""Weights that are held twice: copies of a model, clones of a state, ties that were cut."""

from __future__ import annotations

from collections import Counter
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
from memprof.estimate.dtypes import itemsize
from memprof.estimate.model_spec import TensorSpec
from memprof.trace import Trace
from memprof.trace.document import Ints

_CLONES = ("clone", "_to_copy", "")  # the allocator may not know operations
_COVERED = 0.5
_LEAST = 2
_WITHIN_STEP = ("forward", "prefill", "decode", "recompute", "backward", "optimizer")


def weight_copies(analysis: Analysis, device: DeviceAnalysis) -> Iterator[Finding]:
    """Tells of second models with the weights of a first, and of clones of most of its weights."""
    for copy, original in _second_models(analysis):
        held = _weights_of(analysis, device, copy, {tensor.name for tensor in copy.parameters})
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


def _weights_of(
    analysis: Analysis, device: DeviceAnalysis, model: ModelSpec, names: set[str]
) -> list[int]:
    """Weights of one model that are alive at the peak; names of the first model have no prefix."""
    strings, name = analysis.trace.strings, analysis.attribution.name
    held = of_category(device, alive(device, device.peak.event), "weights").tolist()
    full = {f"{model.root}.{each}" for each in names}
    prefixed = [index for index in held if strings[name[index]] in full]
    return prefixed or [index for index in held if strings[name[index]] in names]


def untied_weights(analysis: Analysis, device: DeviceAnalysis) -> Iterator[Finding]:
    """Tells of embeddings that a model's configuration ties and that lie in memory twice."""
    facts = run_facts(analysis.trace)
    for model in facts.models_at(device.peak.time_ns):
        copies = _untied(model)
        held = _weights_of(analysis, device, model, {copy.name for copy in copies})
        if copies and held:
            names = ", ".join(copy.name for copy in copies)
            yield Finding(
                kind="untied_weights",
                bytes=total_bytes(device, held),
                text=f"The configuration of {model.root} ties its embeddings, yet {names} has "
                "memory of its own.",
                fix="Call model.tie_weights() after the last change to the modules, before the "
                "optimizer is made.",
                device=device.name,
                event=device.peak.event,
                allocations=tuple(sorted(held)),
            )


def _untied(model: ModelSpec) -> list[TensorSpec]:
    """Tensors over the whole vocabulary beside the first, where there should be one."""
    vocabulary = model.config.get("vocab_size")
    if model.config.get("tie_word_embeddings") is not True or not vocabulary:
        return []
    whole = [t for t in model.unique_parameters() if len(t.shape) == 2 and t.shape[0] == vocabulary]
    return [tensor for tensor in whole[1:] if tensor.shape == whole[0].shape]


def _clones(analysis: Analysis, device: DeviceAnalysis) -> list[int]:
    """Clones made outside of forward, backward and step of weights with most of the bytes.

    They are known by their shape, and by their bytes where the shape was not noted.
    """
    trace, lives = analysis.trace, analysis.lifetimes
    held = alive(device, device.peak.event)
    weights = shapes_of(trace, of_category(device, held, "weights"))
    wanted = Counter(shape.elements for shape in weights.values())
    free = of_category(device, held, "unattributed", "temporary")
    outside = free[~lives.born_in(*_WITHIN_STEP)[free]]
    elements = _elements_of(trace, outside, set(weights.values()))
    clones = {i: n for i, n in elements.items() if operation(trace, i) in _CLONES}
    found = Counter(clones.values()) & wanted
    covered = _total(found) >= _COVERED * _total(wanted)
    return list(clones) if found.total() >= _LEAST and covered else []


def _elements_of(trace: Trace, allocations: Ints, weights: set[Shape]) -> dict[int, int]:
    """Elements of those of some allocations that have the shape or the bytes of a weight."""
    shapes, sizes = shapes_of(trace, allocations), {weight.sizes for weight in weights}
    by_bytes = {weight.elements * itemsize(weight.dtype): weight.elements for weight in weights}
    elements = {i: shape.elements for i, shape in shapes.items() if shape.sizes in sizes}
    for index in set(allocations.tolist()) - shapes.keys():
        if alike := by_bytes.get(int(trace.allocations.nbytes[index])):
            elements[index] = alike
    return elements


def _total(elements: Counter[int]) -> int:
    return sum(size * count for size, count in elements.items())
