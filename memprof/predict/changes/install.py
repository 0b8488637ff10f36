"""Makes changes to the program that runs: as small as a user would make them by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.checkpoint import checkpoint

from memprof.predict.changes import chunked_loss
from memprof.record.patches import Patches

_FUSED: Final = ("Adam", "AdamW", "SGD", "Adagrad")
_BLOCK: Final = 256  # values that share a scale, in bitsandbytes' 8-bit Adam
_SMALLEST: Final = 4096  # elements of a parameter whose state is 8-bit there


def install(names: Iterable[str], patches: Patches) -> None:
    """Makes the changes of these names; undoing `patches` takes them back."""
    for name in names:
        if name in _INSTALL:
            _INSTALL[name](patches)


def _fused(patches: Patches) -> None:
    def wrap(make: Callable[..., None]) -> Callable[..., None]:
        def __init__(optimizer: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            make(optimizer, *args, **{**kwargs, "fused": True, "foreach": None})

        return __init__

    for name in _FUSED:
        patches.replace(getattr(torch.optim, name), "__init__", wrap)


def _halves(patches: Patches) -> None:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    patches.on_undo(lambda: torch.set_default_dtype(before))


def _eight_bits(patches: Patches) -> None:
    for name in ("Adam", "AdamW"):
        patches.replace(torch.optim, name, lambda _: EightBitAdam)


class EightBitAdam(torch.optim.Optimizer):
    """Holds what bitsandbytes' 8-bit Adam holds, and updates in place as its kernel does."""

    def __init__(self, params: Any, lr: Any = 1e-3, **options: Any) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Makes the state of every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and not self.state[parameter]:
                    self.state[parameter] = _state_of(parameter)


def _state_of(parameter: torch.Tensor) -> dict[str, torch.Tensor]:
    if parameter.numel() < _SMALLEST:
        moments = [torch.zeros_like(parameter, dtype=torch.float32) for _ in range(2)]
        return {"state1": moments[0], "state2": moments[1]}
    state = {}
    for number in (1, 2):
        state[f"state{number}"] = torch.zeros_like(parameter, dtype=torch.uint8)
        scales = -(-parameter.numel() // _BLOCK)
        state[f"absmax{number}"] = torch.zeros(scales, dtype=torch.float32, device=parameter.device)
    return state


def _checkpointing(patches: Patches) -> None:
    done: set[int] = set()

    def before_call(module: nn.Module, args: Any) -> None:
        if torch.is_grad_enabled() and id(module) not in done:
            done.update(id(part) for part in module.modules())
            _checkpoint_layers(module)

    handle = register_module_forward_pre_hook(before_call)
    patches.on_undo(handle.remove)


def _checkpoint_layers(model: Any) -> None:
    inner = [part for part in model.modules() if hasattr(part, "gradient_checkpointing_enable")]
    if inner:
        inner[0].gradient_checkpointing_enable()
        return
    for part in model.modules():
        if isinstance(part, nn.ModuleList) and len(part) > 1:
            for layer in part:
                layer.forward = _recomputed(layer.forward)


def _recomputed(forward: Callable[..., Any]) -> Callable[..., Any]:
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    return checkpointed


_INSTALL: Final = {
    "fused": _fused,
    "chunked_loss": chunked_loss.install,
    "checkpointing": _checkpointing,
    "8bit": _eight_bits,
    "bf16": _halves,
}
