"""Generation with transformers' models and every kind of cache that they bring."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from tests.oracle.outcome import Program
from tests.oracle.probe import Probe
from tests.oracle.programs import models

NEW, PROMPT = 8, 12
Make = Callable[[], torch.nn.Module]


def generate(make: Make, category: str, probe: Probe, **options: Any) -> None:
    model = make().eval()
    tokens = torch.randint(1, models.VOCABULARY, (2, PROMPT))
    with probe.traced():
        out = model.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            min_new_tokens=NEW,
            max_new_tokens=NEW,
            pad_token_id=0,
            eos_token_id=models.VOCABULARY - 1,
            return_dict_in_generate=True,
            **{"do_sample": False, **options},
        )
        cache = out.get("past_key_values", out.get("cache_params"))
        probe.value(out.sequences, *tensors_of(cache))
        probe.holds(category, *tensors_of(cache))
        probe.holds("weights", *model.parameters())


def tensors_of(cache: Any) -> list[torch.Tensor]:
    """Every tensor that a cache of transformers keeps, found through its layers' attributes."""
    if hasattr(cache, "self_attention_cache"):
        return tensors_of(cache.self_attention_cache) + tensors_of(cache.cross_attention_cache)
    attributes = [value for layer in cache.layers for value in vars(layer).values()]
    for held in [value for value in attributes if isinstance(value, dict)]:
        attributes.extend(held.values())
    return [value for value in attributes if isinstance(value, torch.Tensor)]


def offloaded(probe: Probe) -> None:
    if not torch.cuda.is_available():
        probe.skip("transformers' offloaded cache needs CUDA")
    generate(models.llama, "kv_cache", probe, cache_implementation="offloaded")


def quanto(probe: Probe) -> None:
    if importlib.util.find_spec("optimum") is None:
        probe.skip("needs optimum-quanto")
    options = {"backend": "quanto", "nbits": 4}
    generate(
        models.llama, "kv_cache", probe, cache_implementation="quantized", cache_config=options
    )


def quantised(probe: Probe) -> None:
    """A quantising cache as those of quanto and HQQ: tensors in tuples, dequantised to be read."""
    from transformers.cache_utils import Cache, QuantizedLayer

    class EightBits(QuantizedLayer):
        def _quantize(self, tensor, axis):  # type: ignore[no-untyped-def]
            scale = tensor.abs().amax(-1, keepdim=True) / 127
            return (tensor / scale).round().to(torch.int8), {"scale": scale}

        def _dequantize(self, quantised):  # type: ignore[no-untyped-def]
            return quantised[0] * quantised[1]["scale"]

    model = models.llama().eval()
    tokens = torch.randint(1, models.VOCABULARY, (2, PROMPT))
    with probe.traced(), torch.no_grad():
        layers = [EightBits(residual_length=4) for _ in range(model.config.num_hidden_layers)]
        cache = Cache(layers=layers)
        for _ in range(NEW):
            logits = model(input_ids=tokens, past_key_values=cache, use_cache=True).logits
            tokens = logits[:, -1:].argmax(-1)
            probe.holds(
                "kv_cache",
                *tensors_of(cache),
                *(
                    part
                    for layer in layers
                    for quantised, meta in (layer._quantized_keys, layer._quantized_values)
                    for part in (quantised, meta["scale"])
                ),
            )
        probe.value(logits)


def rwkv(probe: Probe) -> None:
    """Feeds a model its own state token by token."""
    model = models.rwkv().eval()
    with probe.traced(), torch.no_grad():
        out = model(input_ids=torch.randint(1, models.VOCABULARY, (2, PROMPT)), use_cache=True)
        for _ in range(NEW - 1):
            token = out.logits[:, -1:].argmax(-1)
            out = model(input_ids=token, use_cache=True, state=out.state)
            probe.value(out.logits)
            probe.holds("recurrent_state", *out.state)


def by_hand(probe: Probe) -> None:
    """Greedy decoding without `generate`, with a batch cache that is reordered and cropped."""
    from transformers import DynamicCache

    model = models.llama().eval()
    tokens = torch.randint(1, models.VOCABULARY, (4, PROMPT))
    with probe.traced(), torch.inference_mode():
        cache = DynamicCache(config=model.config)
        for _ in range(NEW):
            logits = model(input_ids=tokens, past_key_values=cache, use_cache=True).logits
            tokens = logits[:, -1:].argmax(-1)
            probe.holds("kv_cache", *tensors_of(cache))
        probe.value(logits)
        cache.reorder_cache(torch.tensor([3, 2, 1, 0]))
        probe.holds("kv_cache", *tensors_of(cache))
        cache.batch_select_indices(torch.tensor([0, 1]))
        probe.holds("kv_cache", *tensors_of(cache))
        del cache
        probe.holds("kv_cache")


PROGRAMS = {
    "Llama": Program(partial(generate, models.llama, "kv_cache")),
    "Llama, static cache": Program(
        partial(generate, models.llama, "kv_cache", cache_implementation="static")
    ),
    "Llama, offloaded cache": Program(offloaded),
    "Llama, quantised cache": Program(quantised),
    "Llama, quantised cache of quanto": Program(quanto),
    "Llama, beams": Program(partial(generate, models.llama, "kv_cache", num_beams=3)),
    "Llama, sampling": Program(partial(generate, models.llama, "kv_cache", do_sample=True)),
    "Llama, by hand": Program(by_hand),
    "Mistral, sliding window": Program(partial(generate, models.mistral, "kv_cache")),
    "Gemma 3, some layers sliding": Program(partial(generate, models.gemma3, "kv_cache")),
    "GPT-2": Program(partial(generate, models.gpt2, "kv_cache")),
    "Mixtral": Program(partial(generate, models.mixtral, "kv_cache")),
    "T5": Program(partial(generate, models.t5, "kv_cache")),
    "Mamba": Program(partial(generate, models.mamba, "recurrent_state")),
    "RWKV": Program(rwkv),
}
