"""Caches of every kind against transformers' own, and against numbers worked out by hand."""

import pytest
import torch
import transformers as hf

from memprof.estimate import CacheOptions, RunSpec, estimate
from tests.estimate.oracle import cache_tensors, storage_bytes
from tests.estimate.zoo import VOCABULARY, llama


def test_a_static_cache_has_all_its_slots() -> None:
    model = llama(dtype=torch.bfloat16)
    cache = hf.StaticCache(config=model.config, max_cache_len=64)
    with torch.no_grad():
        model(torch.randint(1, VOCABULARY, (3, 5)), past_key_values=cache)
    real = storage_bytes(cache_tensors(cache))
    run = RunSpec(mode="prefill", batch=3, tokens=5, dtype="bf16", cache_length=64)
    assert estimate(model.config, run).by_category["kv_cache"].bytes == pytest.approx(real, abs=32)


#: Asked for by optimum-quanto while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")


@pytest.mark.parametrize("bits", [2, 4])
def test_a_quantised_cache_packs_its_old_tokens(bits: int) -> None:
    model = llama(hidden_size=256, num_attention_heads=4, num_key_value_heads=4)
    cache = hf.QuantizedCache(
        "quanto", model.config, nbits=bits, q_group_size=64, residual_length=128
    )
    with torch.no_grad():
        model(torch.randint(1, VOCABULARY, (2, 512)), past_key_values=cache)
    packed = [
        tensor.nbytes
        for layer in cache.layers
        for whole in (layer._quantized_keys, layer._quantized_values)
        for tensor in (whole._data._data, whole._scale, whole._shift)
    ]
    options = CacheOptions("quantised", bits=bits, residual=128)
    run = RunSpec(mode="prefill", batch=2, tokens=512, cache=options)
    found = estimate(model.config, run).by_category["kv_cache"].bytes
    assert found == sum(packed)


@pytest.mark.parametrize(("length", "pages"), [(1, 1), (16, 1), (17, 2), (4096, 256)])
def test_pages_of_llama_3_70b(length: int, pages: int) -> None:
    run = RunSpec(mode="decode", batch=32, context=length - 1, cache=CacheOptions("paged"))
    found = estimate("llama-3-70b", run).by_category["kv_cache"].bytes
    assert found == pages * 16 * 327_680 * 32


def test_a_window_needs_no_more_pages_than_it_reaches() -> None:
    run = RunSpec(mode="decode", context=99_999, cache=CacheOptions("paged"))
    found = estimate("gpt-oss-20b", run).by_category["kv_cache"].bytes
    whole, windowed = 12 * 6250 * 16, 12 * 9 * 16  # 128 tokens begin within a page
    assert found == (whole + windowed) * 8 * 2 * 64 * 2


def test_a_latent_and_the_heads_it_expands_to() -> None:
    def per_token(expanded: bool) -> int | None:
        run = RunSpec(mode="decode", cache=CacheOptions(expanded=expanded))
        return estimate("deepseek-v3", run).kv_cache_bytes_per_token

    assert per_token(expanded=False) == 70_272
    assert per_token(expanded=True) == 4_997_120


def test_keys_and_values_in_a_dtype_of_their_own() -> None:
    run = RunSpec(mode="decode", cache=CacheOptions(dtype="float8_e4m3fn"))
    assert estimate("llama-3-70b", run).kv_cache_bytes_per_token == 327_680 // 2


def test_the_workload_of_the_article() -> None:
    """Batch 32 of 4,096 tokens: 40 GiB, which is 42.95 GB."""
    run = RunSpec(mode="decode", batch=32, context=4095, cache=CacheOptions("paged"))
    found = estimate("llama-3-70b", run).by_category["kv_cache"].bytes
    assert found == 40 * 2**30
