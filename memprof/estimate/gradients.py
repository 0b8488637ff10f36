"""Gradients: one for each trained parameter, of its shape and dtype."""

from __future__ import annotations

from memprof.estimate.model_spec import ModelSpec, TensorSpec
from memprof.estimate.result import Estimate

EVERY_ONE = "every trained parameter takes part in the loss"


def trained(model: ModelSpec, device: str | None = None) -> list[TensorSpec]:
    """Parameters that get a gradient, tied ones once."""
    return [tensor for tensor in model.unique_parameters(device) if tensor.requires_grad]


def gradients(model: ModelSpec, device: str | None = None) -> Estimate:
    """Bytes of all gradients at the end of backward, on one device or on all."""
    tensors = trained(model, device)
    elements = sum(tensor.elements for tensor in tensors)
    nbytes = sum(tensor.nbytes for tensor in tensors)
    if not tensors:
        return Estimate(0, "no parameter requires a gradient")
    formula = f"one gradient for each of {elements:,} trained parameters, in their own dtype"
    return Estimate(nbytes, formula, (EVERY_ONE,))
