"""What is really there: storages found by walking objects and autograd graphs."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch


def storage_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of the distinct storages behind some tensors."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    storages.pop(0, None)
    return sum(storages.values())


def tensors_within(value: Any) -> Iterator[torch.Tensor]:
    """All tensors in nested lists, tuples, dicts and objects."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_within(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_within(item)


def cache_tensors(cache: Any) -> list[torch.Tensor]:
    """Tensors of a transformers cache, whatever its layers call them."""
    return [tensor for layer in cache.layers for tensor in tensors_within(vars(layer))]


def kept_for_backward(loss: torch.Tensor) -> list[torch.Tensor]:
    """Every tensor that the graph behind `loss` has saved."""
    found: list[torch.Tensor] = []
    seen: set[Any] = set()
    waiting = [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        for name in dir(node):
            if name.startswith("_saved_"):
                found += tensors_within(getattr(node, name))
        waiting += [following for following, _ in node.next_functions]
    return [tensor for tensor in found if not _is_python_number(tensor)]


def _is_python_number(tensor: torch.Tensor) -> bool:
    """The factor in ``0.5 * x`` is kept as a tensor of one double that no program asked for."""
    return tensor.dim() == 0 and tensor.dtype == torch.float64


def activation_bytes(model: Any, inputs: Iterable[torch.Tensor], output: Any) -> int:
    """Storages that the graph or the output holds and that were not there before the call."""
    there = [*model.parameters(), *model.buffers(), *inputs]
    before = {tensor.untyped_storage().data_ptr() for tensor in there}
    held = [*kept_for_backward(output.loss), output.loss, output.logits]
    if output.past_key_values is not None:
        held += cache_tensors(output.past_key_values)
    return storage_bytes(
        tensor for tensor in held if tensor.untyped_storage().data_ptr() not in before
    )
