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
    by_dtype: dict[str, int] = {}
    for tensor in tensors:
        by_dtype[tensor.dtype] = by_dtype.get(tensor.dtype, 0) + tensor.elements
    formula = " + ".join(
        f"{elements:,} {dtype} {what} × {ITEMSIZE[dtype]} B" for dtype, elements in by_dtype.items()
    )
    tied = named - len(tensors)
    notes = ("tied weights count once",) if tied > 0 and what == "parameters" else ()
    return Estimate(sum(tensor.nbytes for tensor in tensors), formula or f"no {what}", notes)
