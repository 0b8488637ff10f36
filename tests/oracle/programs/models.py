"""Small, randomly initialised models of transformers, built from their configurations.

transformers is imported when a model is made: the tests read only the names of programs.
"""

from __future__ import annotations

from typing import Any

import torch

VOCABULARY = 500
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 176}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}


def llama(**options: Any) -> torch.nn.Module:
    import transformers as hf

    return hf.LlamaForCausalLM(
        hf.LlamaConfig(**{**SIZES, **HEADS, "num_hidden_layers": 3, **options})
    )


def mistral() -> torch.nn.Module:
    """Attends to a window of 8 tokens."""
    import transformers as hf

    return hf.MistralForCausalLM(
        hf.MistralConfig(**SIZES, **HEADS, num_hidden_layers=2, sliding_window=8)
    )


def gemma3() -> torch.nn.Module:
    """Layers with and without a window of 8 tokens take turns."""
    import transformers as hf

    return hf.Gemma3ForCausalLM(
        hf.Gemma3TextConfig(
            **SIZES,
            **HEADS,
            num_hidden_layers=3,
            head_dim=16,
            sliding_window=8,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        )
    )


def mixtral() -> torch.nn.Module:
    import transformers as hf

    return hf.MixtralForCausalLM(
        hf.MixtralConfig(**SIZES, **HEADS, num_hidden_layers=2, num_local_experts=4)
    )


def gpt2() -> torch.nn.Module:
    import transformers as hf

    sizes = {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 128}
    return hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=VOCABULARY, **sizes))


def t5() -> torch.nn.Module:
    import transformers as hf

    sizes = {"d_model": 64, "d_ff": 128, "d_kv": 16, "num_layers": 2, "num_heads": 4}
    return hf.T5ForConditionalGeneration(
        hf.T5Config(vocab_size=VOCABULARY, decoder_start_token_id=0, **sizes)
    )


def mamba() -> torch.nn.Module:
    import transformers as hf

    sizes = {"hidden_size": 64, "num_hidden_layers": 3, "state_size": 8}
    return hf.MambaForCausalLM(hf.MambaConfig(vocab_size=VOCABULARY, **sizes))


def rwkv() -> torch.nn.Module:
    import transformers as hf

    sizes = {"hidden_size": 64, "num_hidden_layers": 3, "attention_hidden_size": 64}
    return hf.RwkvForCausalLM(hf.RwkvConfig(vocab_size=VOCABULARY, context_length=64, **sizes))
