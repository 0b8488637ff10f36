"""Which kernel `scaled_dot_product_attention` takes on a GPU.

PyTorch decides in C++ that a build without CUDA does not have, and would fall back to the one that
writes the whole matrix of scores. Flash attention comes first, then memory-efficient attention,
then that one (aten/src/ATen/native/transformers/cuda/sdp_utils.cpp, select_sdp_backend).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch

from memprof.predict.gpu import Gpu
from memprof.record.patches import Patches

_aten = torch.ops.aten
_HALVES: Final = (torch.float16, torch.bfloat16)
_LARGEST_HEAD: Final = 256
_HEAD_MULTIPLE: Final = 8
_BIAS_MULTIPLE: Final = 16

Tensor = torch.Tensor


def install(patches: Patches, gpu: Gpu) -> None:
    """Lets queries on the target choose as there; undoing `patches` ends it."""

    def wrap(original: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def scaled_dot_product_attention(
            query: Tensor,
            key: Tensor,
            value: Tensor,
            attn_mask: Tensor | None = None,
            dropout_p: float = 0.0,
            is_causal: bool = False,
            scale: float | None = None,
            enable_gqa: bool = False,
        ) -> Tensor:
            given = (query, key, value)
            if query.device.type == "cuda" and query.dim() == 4:
                if attn_mask is None and _flash_takes(gpu, *given):
                    return _flash(*given, dropout_p, is_causal, scale)
                if not enable_gqa and _efficient_takes(*given):
                    return _efficient(*given, attn_mask, dropout_p, is_causal, scale)
            return original(
                *given, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
            )

        return scaled_dot_product_attention

    patches.replace(torch.nn.functional, "scaled_dot_product_attention", wrap)


def _flash_takes(gpu: Gpu, query: Tensor, key: Tensor, value: Tensor) -> bool:
    sizes = {query.shape[-1], key.shape[-1], value.shape[-1]}
    return (
        torch.backends.cuda.flash_sdp_enabled()  # type: ignore[no-untyped-call]
        and gpu.major >= 8
        and query.dtype in _HALVES
        and len(sizes) == 1
        and max(sizes) <= _LARGEST_HEAD
    )


def _efficient_takes(query: Tensor, key: Tensor, value: Tensor) -> bool:
    same_heads = query.shape[1] == key.shape[1] == value.shape[1]
    enabled = torch.backends.cuda.mem_efficient_sdp_enabled()  # type: ignore[no-untyped-call]
    return enabled and same_heads


def _flash(
    query: Tensor, key: Tensor, value: Tensor, dropout: float, causal: bool, scale: float | None
) -> Tensor:
    size = query.shape[-1]
    padding = -size % _HEAD_MULTIPLE
    if padding:
        query, key, value = (torch.nn.functional.pad(t, (0, padding)) for t in (query, key, value))
    scale = size**-0.5 if scale is None else scale
    out: Tensor = _aten._scaled_dot_product_flash_attention(
        query, key, value, dropout, causal, False, scale=scale
    )[0]
    return out[..., :size] if padding else out


def _efficient(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    causal: bool,
    scale: float | None,
) -> Tensor:
    bias = None if mask is None else _bias(mask, query, key)
    learns = torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value))
    out: Tensor = _aten._scaled_dot_product_efficient_attention(
        query, key, value, bias, learns, dropout, causal, scale=scale
    )[0]
    return out


def _bias(mask: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """The mask as numbers to be added, its rows padded so that each begins aligned."""
    bias = mask
    if mask.dtype is torch.bool:
        bias = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(~mask, -torch.inf)
    padding = -bias.shape[-1] % _BIAS_MULTIPLE
    if padding:
        bias = torch.nn.functional.pad(bias, (0, padding))[..., : bias.shape[-1]]
    return bias.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
