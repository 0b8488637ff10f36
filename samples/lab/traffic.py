"""What operations read, write and compute, beside what memprof records of their memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

aten = torch.ops.aten
VIEWS = (aten._unsafe_view,)  # not marked as one
#: These read a few rows of a table: as much as they write.
LOOKUPS = (aten.embedding, aten.index_select, aten.index, aten.gather)


class Traffic(TorchDispatchMode):
    """Counts, operation by operation, inside ``with Traffic(model.parameters()) as traffic:``.

    Attributes:
        weights: bytes of parameters that operations read.
        moved: bytes of all inputs and outputs, by operation.
        flops: floating-point operations, by operation.
    """

    def __init__(self, parameters: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self._parameters = {each.untyped_storage()._cdata for each in parameters}
        self.weights = 0
        self.moved: Counter[str] = Counter()
        self.flops: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view and func.overloadpacket not in VIEWS:
            name, lookup = func.overloadpacket.__name__, func.overloadpacket in LOOKUPS
            inputs = [
                each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)
            ]
            outputs = [each for each in tree_leaves(result) if isinstance(each, torch.Tensor)]
            read = outputs if lookup else inputs
            self.moved[name] += sum(each.nbytes for each in [*read, *outputs])
            self.flops[name] += flops(func, args, kwargs or {}, result)
            if any(self._is_parameter(each) for each in inputs):
                touched = read if lookup else filter(self._is_parameter, inputs)
                self.weights += sum(each.nbytes for each in touched)
        return result

    def _is_parameter(self, tensor: torch.Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._parameters


def flops(func: Any, args: Any, kwargs: Any, result: Any) -> int:
    """As `torch.utils.flop_counter` counts them: two for a multiplication and its addition."""
    if func.overloadpacket is aten._scaled_dot_product_flash_attention_for_cpu:
        return int(sdpa_flop_count(*(each.shape for each in args[:3])))
    count = flop_registry.get(func.overloadpacket)
    return 0 if count is None else int(count(*args, **kwargs, out_val=result))
