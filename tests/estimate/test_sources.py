"""Models from names, files and modules: what is read of each, and what is refused."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import safetensors.torch
import torch
import transformers as hf

from memprof.errors import UsageError
from memprof.estimate import ModelSpec, RunSpec, estimate
from memprof.estimate.sources import model_spec
from memprof.estimate.weights import weights
from tests.estimate.oracle import storage_bytes
from tests.estimate.zoo import gpt2, llama

RUN = RunSpec(mode="decode", batch=2, context=15)


def test_a_configuration_a_folder_and_weights_say_the_same(tmp_path: Path) -> None:
    model = llama(dtype=torch.bfloat16)
    model.save_pretrained(tmp_path)
    real = storage_bytes(model.parameters())
    for source in (tmp_path, tmp_path / "config.json", tmp_path / "model.safetensors"):
        found = estimate(str(source), RUN)
        assert found.by_category["weights"].bytes == real, source
        assert found.kv_cache_bytes_per_token == 2 * 2 * 2 * 8 * 2


def test_weights_in_several_files_with_an_index(tmp_path: Path) -> None:
    model = llama()
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    index = tmp_path / "model.safetensors.index.json"
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert weights(model_spec(index, RUN)).bytes == storage_bytes(model.parameters())


def test_no_weights_are_read(tmp_path: Path) -> None:
    """A header without its tensors is enough, as the first bytes of a file on a server are."""
    path = tmp_path / "huge.safetensors"
    header = {"w": {"dtype": "BF16", "shape": [1000, 1000], "data_offsets": [0, 2_000_000]}}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + 2_000_000)  # a hole, not a byte of it on the disk
    assert weights(model_spec(path, RUN)).bytes == 2_000_000


def test_quantised_weights_count_as_they_are_stored(tmp_path: Path) -> None:
    tensors = {
        "layers.0.qweight": torch.zeros(64, 16, dtype=torch.int32),
        "layers.0.scales": torch.zeros(1, 128, dtype=torch.float16),
        "layers.0.float8": torch.zeros(8, 8, dtype=torch.float8_e4m3fn),
    }
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
    found = weights(model_spec(tmp_path / "model.safetensors", RUN))
    assert found.bytes == sum(tensor.nbytes for tensor in tensors.values())


def test_gguf_tells_weights_and_the_sizes_of_the_cache(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_embedding_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    plain = np.zeros((10, 64), np.float32)
    packed = gguf.quantize(np.ones((320, 64), np.float32), gguf.GGMLQuantizationType.Q4_0)
    writer.add_tensor("token_embd.weight", plain)
    writer.add_tensor("blk.0.ffn_up.weight", packed, raw_dtype=gguf.GGMLQuantizationType.Q4_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = estimate(str(path), RUN)
    assert found.parameters == 10 * 64 + 320 * 64
    assert found.by_category["weights"].bytes == plain.nbytes + packed.nbytes
    assert found.kv_cache_bytes_per_token == 2 * 2 * 2 * 16 * 2


@pytest.mark.parametrize("make", [llama, gpt2, lambda: llama(tie_word_embeddings=True)])
def test_a_live_module_is_measured_as_it_is(make: Any) -> None:
    model = make()
    found = estimate(model, RunSpec(batch=1, tokens=8, optimizer="adamw"))
    assert found.by_category["weights"].bytes == storage_bytes(model.parameters())
    assert found.by_category["buffers"].bytes == storage_bytes(model.buffers())
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert found.by_category["activations"].bytes is not None


def test_a_module_on_the_meta_device_needs_no_memory() -> None:
    with torch.device("meta"):
        model = hf.AutoModelForCausalLM.from_config(hf.LlamaConfig(tie_word_embeddings=True))
        model.tie_weights()
        plain = torch.nn.Linear(10_000, 10_000)
    assert estimate(model, RUN).parameters == sum(p.numel() for p in model.parameters())
    found = estimate(plain, RunSpec(optimizer="sgd"))
    assert found.by_category["gradients"].bytes == 4 * 10_000 * 10_001
    assert found.by_category["activations"].bytes is None
    assert found.peak_bytes is None


def test_what_is_no_model_says_which_file_and_why(tmp_path: Path) -> None:
    broken, empty = tmp_path / "config.json", tmp_path / "empty"
    broken.write_text("{")
    empty.mkdir()
    (tmp_path / "bad.safetensors").write_bytes(b"not a header")
    (tmp_path / "bad.gguf").write_bytes(b"not a header")
    for name, reason in (
        (broken, "cannot be read as JSON"),
        (empty, "no config.json and no weights"),
        (tmp_path / "bad.safetensors", "cannot be read as safetensors"),
        (tmp_path / "bad.gguf", "cannot be read as GGUF"),
        (tmp_path / "none.json", "no such file"),
    ):
        with pytest.raises(UsageError, match=reason) as refused:
            model_spec(name, RUN)
        assert name.name in str(refused.value)
        assert "\n" not in str(refused.value)


def test_a_description_is_taken_as_it_is() -> None:
    spec = ModelSpec.from_config(llama().config)
    assert model_spec(spec, RUN) is spec
