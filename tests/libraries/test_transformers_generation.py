"""transformers' generation: two models, many requests at once, caches of every kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.libraries.conftest import Record
from tests.libraries.harness import Watch, attributes_of, needs_gpu, rows
from tests.oracle.programs import models

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore:::transformers")

NEW, PROMPT = 6, 10
GREEDY = {
    "do_sample": False,
    "min_new_tokens": NEW,
    "max_new_tokens": NEW,
    "pad_token_id": 0,
    "eos_token_id": models.VOCABULARY - 1,
}


def prompt(rows: int = 2) -> dict[str, torch.Tensor]:
    tokens = torch.randint(1, models.VOCABULARY - 1, (rows, PROMPT))
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}


def held_by(cache: Any) -> list[torch.Tensor]:
    """What a cache keeps, read from the attributes of its layers."""
    inner = [getattr(cache, f"{kind}_attention_cache", None) for kind in ("self", "cross")]
    if inner[0] is not None:
        return held_by(inner[0]) + held_by(inner[1])
    return [tensor for layer in cache.layers for tensor in attributes_of(layer)]


class Caches:
    """Remembers the cache that each model was last called with, and claims what they hold."""

    def __init__(self, watch: Watch, *watched: torch.nn.Module, category: str = "kv_cache") -> None:
        self.watch = watch
        self.category = category
        self.last: dict[torch.nn.Module, Any] = {}
        self.handles = [
            model.register_forward_hook(self.called, with_kwargs=True) for model in watched
        ]

    def called(self, model: torch.nn.Module, args: Any, kwargs: Any, out: Any) -> None:
        self.last[model] = kwargs["past_key_values"]
        held = [held_by(cache) for cache in self.last.values()]
        self.watch.holds(self.category, held, where=f"call {len(self.watch.claims)}")

    def __enter__(self) -> Caches:
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self.handles:
            handle.remove()


def generate(model: torch.nn.Module, watch: Watch, inputs: Any, **options: Any) -> Any:
    with Caches(watch, model):
        out = model.generate(**inputs, **{**GREEDY, **options}, return_dict_in_generate=True)
    watch.holds("kv_cache", held_by(out.past_key_values), where="end")
    watch.holds("weights", list(model.parameters()))
    watch.holds("buffers", list(model.buffers()))
    return out


def test_assisted_generation_keeps_draft_and_target_apart(record: Record) -> None:
    target, draft = models.llama().eval(), models.llama(num_hidden_layers=1).eval()

    def program(watch: Watch) -> None:
        with Caches(watch, target, draft) as caches:
            target.generate(**prompt(1), **GREEDY, assistant_model=draft)
        assert len(caches.last) == 2
        watch.holds("weights", list(target.parameters()), list(draft.parameters()))

    recorded = record(program)
    names = {row.name for row in rows(recorded.peak, "kv_cache")}
    layers = {name.removesuffix(".keys") for name in names if name.endswith(".keys")}
    head, end = "lm_head.weight", "cache.layers.0"
    heads = {row.name for row in rows(recorded.peak, "weights") if row.name.endswith(head)}
    assert {name.removesuffix(end) for name in layers if name.endswith(end)} == {
        name.removesuffix(head) for name in heads
    }
    assert len(heads) == 2
    assert len(layers) == 4  # three layers of the target, one of the draft


def test_continuous_batching_with_the_paged_cache(record: Record) -> None:
    from transformers.generation.configuration_utils import ContinuousBatchingConfig

    model = models.llama().eval()
    prompts = [row.tolist() for row in prompt(3)["input_ids"]]
    paged = ContinuousBatchingConfig(num_blocks=8, page_size=16, max_batch_tokens=64)

    def program(watch: Watch) -> None:
        def called(module: Any, args: Any, kwargs: Any, out: Any) -> None:
            cache = kwargs["cache"]
            watch.holds("kv_cache", cache.cache_tensor, where=type(cache).__name__)

        handle = model.register_forward_hook(called, with_kwargs=True)
        results = model.generate_batch(
            prompts,
            generation_config=transformers.GenerationConfig(**GREEDY),
            continuous_batching_config=paged,
        )
        handle.remove()
        assert [len(result.generated_tokens) for result in results.values()] == [NEW] * 3
        watch.holds("weights", list(model.parameters()))

    recorded = record(program)
    assert recorded.highest("kv_cache") > 0


def whisper() -> torch.nn.Module:
    config = transformers.WhisperConfig(
        vocab_size=models.VOCABULARY,
        d_model=64,
        num_mel_bins=16,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        max_source_positions=64,
        max_target_positions=64,
        decoder_start_token_id=1,
        bos_token_id=1,
        pad_token_id=0,
        eos_token_id=models.VOCABULARY - 1,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    return transformers.WhisperForConditionalGeneration(config).eval()


def test_whisper(record: Record) -> None:
    model = whisper()
    inputs = {"input_features": torch.randn(2, 16, 128)}

    def program(watch: Watch) -> None:
        from transformers.generation import GenerationMixin

        with Caches(watch, model):
            out = GenerationMixin.generate(model, **inputs, **GREEDY, return_dict_in_generate=True)
        watch.holds("kv_cache", held_by(out.past_key_values), where="end")
        watch.model(model)
        cross = out.past_key_values.cross_attention_cache
        assert cross.layers[0].keys.shape[2] == 64

    recorded = record(program)
    names = {row.name for row in rows(recorded.end, "kv_cache")}
    assert not names, "nothing keeps the cache any longer"


def deepseek_v3() -> torch.nn.Module:
    config = transformers.DeepseekV3Config(
        **models.SIZES,
        moe_intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        n_routed_experts=4,
        num_experts_per_tok=2,
        n_group=2,
        topk_group=1,
        first_k_dense_replace=1,
        q_lora_rank=16,
        kv_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=8,
    )
    return transformers.DeepseekV3ForCausalLM(config).eval()


def qwen3_moe() -> torch.nn.Module:
    config = transformers.Qwen3MoeConfig(
        **models.SIZES,
        **models.HEADS,
        head_dim=16,
        moe_intermediate_size=32,
        num_hidden_layers=2,
        num_experts=4,
        num_experts_per_tok=2,
    )
    return transformers.Qwen3MoeForCausalLM(config).eval()


@pytest.mark.parametrize("make", [deepseek_v3, qwen3_moe], ids=["DeepSeek-V3", "Qwen3-MoE"])
def test_generation(record: Record, make: Callable[[], torch.nn.Module]) -> None:
    model = make()
    recorded = record(lambda watch: generate(model, watch, prompt()) and None)
    assert recorded.phases().count("prefill") == 1
    assert recorded.phases().count("decode") == NEW - 1


@pytest.mark.parametrize(
    "options",
    [
        {"cache_implementation": "quantized", "cache_config": {"backend": "fp8"}},
        {
            "cache_implementation": "quantized",
            "cache_config": {"backend": "quanto", "nbits": 4, "residual_length": 4},
        },
        {"num_beams": 2, "num_return_sequences": 2, "cache_implementation": "static"},
        {"prompt_lookup_num_tokens": 2},
        {"prefill_chunk_size": 4},
    ],
    ids=["fp8", "quanto", "static beams", "prompt lookup", "chunked prefill"],
)
def test_caches(record: Record, options: dict[str, Any]) -> None:
    model = models.llama().eval()
    inputs = prompt(1 if "prompt_lookup_num_tokens" in options else 2)
    recorded = record(lambda watch: generate(model, watch, inputs, **options))
    assert recorded.highest("kv_cache") > 0


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=needs_gpu) for kind in ("offloaded", "offloaded_static")]
)
def test_offloaded_caches(record: Record, kind: str) -> None:
    """All layers but the one at work are on the host: both devices hold what the tensors say."""
    model = models.llama().eval().to("cuda")
    inputs = {name: value.to("cuda") for name, value in prompt().items()}
    for device in ("cuda:0", "cpu"):

        def program(watch: Watch, device: str = device) -> None:
            options = {**GREEDY, "cache_implementation": kind, "return_dict_in_generate": True}
            out = model.generate(**inputs, **options)
            held = held_by(out.past_key_values)
            watch.holds("kv_cache", [part for part in held if str(part.device) == device])

        record(program, device=device, unattributed=1.0 if device == "cpu" else 0.02)
