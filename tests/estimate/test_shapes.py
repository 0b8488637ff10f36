"""Closed forms of parameters against transformers' own classes, and against published counts."""

from typing import Any

import pytest
import torch
import transformers as hf

from memprof.errors import UsageError
from memprof.estimate.shapes import parameter_count, parameter_shapes

SMALL: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 99, "num_attention_heads": 4}

CONFIGS: dict[str, hf.PreTrainedConfig] = {
    "gpt2": hf.GPT2Config(),
    "gpt2-xl": hf.GPT2Config(n_embd=1600, n_layer=48, n_head=25),
    "gpt2 untied": hf.GPT2Config(n_embd=48, n_layer=2, n_inner=100, tie_word_embeddings=False),
    "llama-2-7b": hf.LlamaConfig(),
    "llama-3-8b": hf.LlamaConfig(
        vocab_size=128_256, hidden_size=4096, intermediate_size=14_336, num_key_value_heads=8
    ),
    "llama tied with biases": hf.LlamaConfig(
        **SMALL,
        num_key_value_heads=1,
        head_dim=24,
        attention_bias=True,
        mlp_bias=True,
        tie_word_embeddings=True,
    ),
    "mistral-7b": hf.MistralConfig(),
    "mixtral-8x7b": hf.MixtralConfig(),
    "mixtral small": hf.MixtralConfig(**SMALL, num_key_value_heads=2, num_local_experts=5),
    "qwen2": hf.Qwen2Config(**SMALL, num_key_value_heads=2),
    "qwen2 tied": hf.Qwen2Config(**SMALL, num_key_value_heads=2, tie_word_embeddings=True),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_names_and_shapes_are_those_of_the_class(name: str) -> None:
    with torch.device("meta"):
        model = hf.AutoModelForCausalLM.from_config(CONFIGS[name])
    real = [(key, tuple(parameter.shape)) for key, parameter in model.named_parameters()]
    assert parameter_shapes(CONFIGS[name].to_dict()) == real


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("gpt2", 124_439_808),
        ("gpt2-xl", 1_557_611_200),
        ("llama-2-7b", 6_738_415_616),
        ("llama-3-8b", 8_030_261_248),
        ("mistral-7b", 7_241_732_096),
        ("mixtral-8x7b", 46_702_792_704),
    ],
)
def test_published_counts(name: str, published: int) -> None:
    assert parameter_count(CONFIGS[name].to_dict()) == published


def test_an_unknown_architecture_has_no_formula() -> None:
    assert parameter_count({"model_type": "perceiver"}) is None
    assert parameter_shapes({}) is None


@pytest.mark.parametrize("size", ["wide", -4, 0, 2.5, [4]])
def test_a_size_that_cannot_be_is_refused(size: object) -> None:
    config = hf.LlamaConfig(**SMALL).to_dict() | {"hidden_size": size}
    with pytest.raises(UsageError, match="size that cannot be"):
        parameter_count(config)


def test_a_missing_size_is_named() -> None:
    with pytest.raises(UsageError, match="n_layer"):
        parameter_count({"model_type": "gpt2", "n_embd": 8, "vocab_size": 4, "n_positions": 4})
