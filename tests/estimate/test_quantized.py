"""Formats of quantised weights against the libraries that make them."""

import bitsandbytes.functional as bnb
import gguf
import numpy as np
import pytest
import torch

from memprof.errors import UsageError
from memprof.estimate import ModelSpec, RunSpec, estimate
from memprof.estimate.catalog.models import model_config
from memprof.estimate.quantized import FORMATS, format_name, split_dtype
from memprof.estimate.weights import weights
from tests.estimate.zoo import llama

SHAPES = [(96, 256), (128, 512), (40, 768)]


@pytest.mark.parametrize("shape", SHAPES)
def test_nf4_is_what_bitsandbytes_makes(shape: tuple[int, int]) -> None:
    for name, nested in (("nf4", False), ("nf4-double", True)):
        packed, state = bnb.quantize_4bit(
            torch.randn(shape), quant_type="nf4", compress_statistics=nested
        )
        tensors = [packed, state.absmax, state.code]
        if nested:
            tensors += [state.state2.absmax, state.state2.code, state.offset]
        assert FORMATS[name](shape) == sum(tensor.nbytes for tensor in tensors)


@pytest.mark.parametrize("shape", SHAPES)
def test_int8_is_what_bitsandbytes_makes(shape: tuple[int, int]) -> None:
    packed, scales, _ = bnb.int8_vectorwise_quant(torch.randn(shape).half())
    assert FORMATS["int8"](shape) == packed.nbytes + scales.nbytes


@pytest.mark.parametrize("name", ["q8_0", "q4_0"])
def test_llama_cpp_s_blocks_are_what_gguf_makes(name: str) -> None:
    kind = gguf.GGMLQuantizationType[name.upper()]
    packed = gguf.quantize(np.random.default_rng(0).random((6, 512), np.float32), kind)
    assert FORMATS[name]((6, 512)) == packed.nbytes


@pytest.mark.parametrize("name", ["q6_k", "q5_k", "q4_k", "q3_k", "q2_k"])
def test_sizes_of_blocks_are_those_of_llama_cpp(name: str) -> None:
    elements, nbytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name.upper()]]
    assert FORMATS[name]((3, 4 * elements)) == 12 * nbytes


def test_awq_takes_4_and_an_eighth_of_20_bits_a_weight() -> None:
    assert FORMATS["int4"]((4096, 4096)) == 4096 * 4096 * 4.15625 / 8


def test_embeddings_norms_and_the_head_stay_as_they_are() -> None:
    spec = ModelSpec.from_config(model_config("llama-2-7b"))
    packed = weights(spec.quantised("int4")).bytes
    linear = 32 * (4 * 4096**2 + 3 * 4096 * 11008)
    rest = 6_738_415_616 - linear
    assert packed == linear * 4.15625 / 8 + rest * 2
    assert packed == pytest.approx(3.89e9, rel=0.01)


def test_a_dtype_may_name_a_format() -> None:
    assert split_dtype("int4") == ("", "int4")
    assert split_dtype("bf16") == ("bf16", "")
    found = estimate(llama().config, RunSpec(mode="decode", quantization="awq"))
    assert "int4" in found.by_category["weights"].formula
    with pytest.raises(UsageError, match="did you mean int8"):
        format_name("int88")
