"""Lets PyTorch and libraries treat fake tensors as the tensors that they stand for."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from torch._subclasses.fake_tensor import FakeTensor
from torch.optim import optimizer
from torch.utils import _foreach_utils
from torch.utils._python_dispatch import _disable_current_modes

from memprof.record.imports import ImportWatch
from memprof.record.patches import Patches

_TRANSFORMERS: Final = "transformers.utils.import_utils"
_SHARDING: Final = "torch.distributed.tensor._sharding_prop"
_SHAPES_OF_DTENSORS: Final = "_propagate_tensor_meta_non_cached"


def install(patches: Patches) -> None:
    """Patches what asks for a tensor's class; undoing `patches` restores it."""
    for module in (optimizer, _foreach_utils):
        _count_in(module._foreach_supported_types, patches)
    watch = ImportWatch(
        {
            _TRANSFORMERS: lambda module: _no_tracing(module, patches),
            _SHARDING: lambda module: _unseen(module.ShardingPropagator, patches),
        }
    )
    watch.start()
    patches.on_undo(watch.stop)


def _count_in(types: Any, patches: Patches) -> None:
    """Updates of many parameters at once are for plain tensors, and these count as such."""
    types.append(FakeTensor)
    patches.on_undo(lambda: types.remove(FakeTensor))


def _no_tracing(module: ModuleType, patches: Patches) -> None:
    """That library takes a fake tensor for a sign of compilation, and leaves out its shortcuts."""
    patches.replace(module, "is_fake_tensor", lambda _: lambda tensor: False)


def _unseen(propagator: Any, patches: Patches) -> None:
    """A DTensor asks for shapes with fake tensors as large as the whole: they are no memory."""

    def wrap(propagate: Callable[..., Any]) -> Callable[..., Any]:
        def outside(*args: Any, **kwargs: Any) -> Any:
            with _disable_current_modes():
                return propagate(*args, **kwargs)

        return outside

    patches.replace(propagator, _SHAPES_OF_DTENSORS, wrap)
