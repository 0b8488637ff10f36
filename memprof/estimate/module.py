"""A live `torch.nn.Module`, described without importing PyTorch."""

from __future__ import annotations

from typing import Any

from memprof.estimate.model_spec import ModelSpec, TensorSpec


def module_spec(module: Any) -> ModelSpec:
    """Describes a module: its tensors as they are, and its configuration where it has one.

    Args:
        module: a `torch.nn.Module`; on the meta device it need not hold any memory.
    """
    config = getattr(module, "config", None)
    to_dict = getattr(config, "to_dict", None)
    told = to_dict() if to_dict is not None else {}
    storages: dict[int, int] = {}
    return ModelSpec(
        root=type(module).__name__,
        class_name=f"{type(module).__module__}.{type(module).__qualname__}",
        config=told,
        attention=str(getattr(config, "_attn_implementation", None) or ""),
        gradient_checkpointing=_recomputes(module),
        parameters=_tensors(module.named_parameters(remove_duplicate=False), storages),
        buffers=_tensors(module.named_buffers(remove_duplicate=False), storages),
    )


def _recomputes(module: Any) -> bool:
    """Whether transformers recomputes the module's blocks; its releases before 5.20 say it so."""
    name = "is_activation_checkpointing"
    return bool(getattr(module, name if hasattr(module, name) else "is_gradient_checkpointing", 0))


def _tensors(named: Any, storages: dict[int, int]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            name=name,
            shape=tuple(tensor.shape),
            dtype=str(tensor.dtype).removeprefix("torch."),
            device=str(tensor.device),
            requires_grad=bool(tensor.requires_grad),
            storage=storages.setdefault(_identity(tensor), len(storages)),
        )
        for name, tensor in named
    )


def _identity(tensor: Any) -> int:
    """Equal for tensors of one storage; on the meta device, where none has any, for one object."""
    address = 0 if tensor.device.type == "meta" else int(tensor.untyped_storage().data_ptr())
    return address or id(tensor)
