"""Weights and buffers: every storage once, at its real size."""

from __future__ import annotations

from collections.abc import Sequence

from memprof.estimate.dtypes import ITEMSIZE
from memprof.estimate.model_spec import ModelSpec, TensorSpec
from memprof.estimate.result import Estimate, not_estimated


def weights(model: ModelSpec, device: str | None = None) -> Estimate:
    """Bytes of a model's parameters, on one device or on all.

    Σ elements × element size over the distinct storages: tied weights count once.
    """
    return _storages(model.unique_parameters(device), len(model.parameters), "parameters")


def buffers(model: ModelSpec, device: str | None = None) -> Estimate:
    """Bytes of a model's buffers, on one device or on all."""
    return _storages(model.unique_buffers(device), len(model.buffers), "buffers")


def _storages(tensors: Sequence[TensorSpec], named: int, what: str) -> Estimate:
    strange = next((tensor for tensor in tensors if tensor.dtype not in ITEMSIZE), None)
    if strange is not None:
        return not_estimated(f"{strange.name} has the dtype {strange.dtype}, of unknown size")
    by_kind: dict[tuple[str, str], list[TensorSpec]] = {}
    for tensor in tensors:
        by_kind.setdefault((tensor.dtype, tensor.format), []).append(tensor)
    formula = " + ".join(_words(kind, alike, what) for kind, alike in by_kind.items())
    tied = named - len(tensors)
    notes = ("tied weights count once",) if tied > 0 and what == "parameters" else ()
    return Estimate(sum(tensor.nbytes for tensor in tensors), formula or f"no {what}", notes)


def _words(kind: tuple[str, str], tensors: Sequence[TensorSpec], what: str) -> str:
    dtype, form = kind
    elements = sum(tensor.elements for tensor in tensors)
    if not form:
        return f"{elements:,} {dtype} {what} × {ITEMSIZE[dtype]} B"
    bits = 8 * sum(tensor.nbytes for tensor in tensors) / elements
    return f"{elements:,} {what} in {form} × {bits:.4g} bits, scales and zero points included"
