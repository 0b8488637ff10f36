"""Tiny models of transformers, and the facts that describe them, made without a recorder."""

from typing import Any

import torch
import transformers as hf

VOCABULARY = 97
#: Configurations that are not called like the class that they configure.
CONFIGS = {"Gemma3": "Gemma3TextConfig"}


def llama(kind: str = "Llama", dtype: torch.dtype = torch.float32, **options: Any) -> Any:
    config = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 72,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "attn_implementation": "sdpa",
        **options,
    }
    made = getattr(hf, CONFIGS.get(kind, f"{kind}Config"))(**config)
    return getattr(hf, f"{kind}ForCausalLM")(made).to(dtype).train()


def gpt2(dtype: torch.dtype = torch.float32, dropout: float = 0.1, **options: Any) -> Any:
    config = {
        "vocab_size": VOCABULARY,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 64,
        "attn_pdrop": dropout,
        "resid_pdrop": dropout,
        "embd_pdrop": dropout,
        "attn_implementation": "sdpa",
        **options,
    }
    return hf.GPT2LMHeadModel(hf.GPT2Config(**config)).to(dtype).train()


def fact_of(model: Any) -> dict[str, Any]:
    """A "model" fact, as a trace would hold it."""
    config = model.config
    storages: dict[int, int] = {}
    return {
        "model": 1,
        "root": type(model).__name__,
        "class": type(model).__qualname__,
        "config": config.to_dict(),
        "attention": config._attn_implementation,
        "gradient_checkpointing": False,
        "parameters": _tensors(model.named_parameters(remove_duplicate=False), storages),
        "buffers": _tensors(model.named_buffers(), storages),
    }


def _tensors(named: Any, storages: dict[int, int]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "shape": list(tensor.shape),
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "device": str(tensor.device),
            "requires_grad": tensor.requires_grad,
            "storage": storages.setdefault(tensor.data_ptr(), len(storages)),
        }
        for name, tensor in named
    ]
