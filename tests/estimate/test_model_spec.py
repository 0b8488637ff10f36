"""Models from facts and configurations: weights, buffers and gradients of real modules."""

import pytest
import torch
import transformers as hf

from memprof.errors import UsageError
from memprof.estimate import ModelSpec, RunSpec
from memprof.estimate.dtypes import ITEMSIZE, dtype_name, itemsize
from memprof.estimate.gradients import gradients
from memprof.estimate.weights import buffers, weights
from tests.estimate.oracle import storage_bytes
from tests.estimate.zoo import fact_of, gpt2, llama


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_buffers_and_gradients_to_the_byte(dtype: torch.dtype) -> None:
    for model in (llama(dtype=dtype), gpt2(dtype=dtype), llama(tie_word_embeddings=True)):
        spec = ModelSpec.from_fact(fact_of(model))
        ids = torch.randint(1, 9, (1, 5))
        model(input_ids=ids, labels=ids).loss.backward()
        made = [p.grad for p in model.parameters() if p.grad is not None]
        assert weights(spec).bytes == storage_bytes(model.parameters())
        assert buffers(spec).bytes == storage_bytes(model.buffers())
        assert gradients(spec).bytes == storage_bytes(made)


def test_frozen_parameters_get_no_gradient() -> None:
    model = llama()
    model.model.embed_tokens.requires_grad_(False)
    spec = ModelSpec.from_fact(fact_of(model))
    trained = [p for p in model.parameters() if p.requires_grad]
    assert gradients(spec).bytes == storage_bytes(trained)
    assert weights(spec).bytes == storage_bytes(model.parameters())


def test_each_device_has_its_own_share() -> None:
    fact = fact_of(llama())
    for row in fact["parameters"][:3]:
        row["device"] = "cuda:0"
    spec = ModelSpec.from_fact(fact)
    shares = [weights(spec, device).bytes or 0 for device in ("cpu", "cuda:0")]
    assert all(shares)
    assert sum(shares) == weights(spec).bytes


def test_a_dtype_of_unknown_size_is_named() -> None:
    fact = fact_of(llama())
    fact["parameters"][0]["dtype"] = "posit16"
    estimate = weights(ModelSpec.from_fact(fact))
    assert estimate.bytes is None
    assert "posit16" in estimate.formula


def test_a_configuration_gives_the_same_as_the_model() -> None:
    for model in (llama(dtype=torch.bfloat16), gpt2(dtype=torch.bfloat16)):
        spec = ModelSpec.from_config(model.config, dtype="bf16")
        assert weights(spec).bytes == storage_bytes(model.parameters())
        assert weights(spec.with_dtype("float32")).bytes == 2 * storage_bytes(model.parameters())


def test_sizes_of_dtypes_are_those_of_torch() -> None:
    for name, size in ITEMSIZE.items():
        dtype = getattr(torch, name, None)
        assert dtype is None or dtype.itemsize == size, name
    assert itemsize("bf16") == itemsize("torch.float16") == 2
    assert dtype_name("half") == "float16"


def test_what_cannot_be_a_model_or_a_run_is_refused() -> None:
    for model in (object(), {}, "llama", hf.LlamaConfig):
        with pytest.raises(UsageError, match="not a model"):
            ModelSpec.from_config(model)
    with pytest.raises(UsageError, match="float99"):
        ModelSpec.from_config(hf.GPT2Config(n_layer=1), dtype="float99")
    with pytest.raises(UsageError, match="mode 'infer' is unknown"):
        RunSpec(mode="infer")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="batch is 0"):
        RunSpec(batch=0)
    with pytest.raises(UsageError, match="context is -1"):
        RunSpec(context=-1)
    with pytest.raises(UsageError, match="dtype 'int3'"):
        RunSpec(dtype="int3")
