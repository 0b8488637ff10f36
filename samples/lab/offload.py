"""Layer-wise offload with accelerate: bytes that are resident, bytes that come over the link.

python -m samples.lab.offload

The weights lie in files and come into memory when a layer is called, as they would come from the
host to a GPU.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from tempfile import TemporaryDirectory

import accelerate
import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import memprof
from memprof.api import Tracing
from memprof.estimate import RunSpec, hardware
from memprof.estimate.offload import offload
from samples.lab.recorded import after_calls
from samples.lab.table import Result, Row, main

SIZES = {"num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 512}


def measure(quick: bool) -> Result:
    """Generates with the weights on disk, whole layers and single modules at a time."""
    sizes = (128, 352, 4) if quick else (512, 1408, 16)
    config = LlamaConfig(**dict(zip(NAMES, sizes, strict=True)), **SIZES)
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    layer, module, whole = bytes_of(model.model.layers[0]), largest(model), bytes_of(model)
    layers, modules = offloaded(config, ["LlamaDecoderLayer"]), offloaded(config, [])
    calls = len(after_calls(layers, "weights", ("prefill", "decode")))
    rows = [
        Row("GPU holds the active layer(s)", "weights of one layer", layer, resident(layers)),
        Row("beside it: finer pieces", "the largest single matrix", module, resident(modules)),
        *(
            Row(
                "Load layer by layer from CPU RAM",
                f"all {whole:,} B of weights for every token, {how} at a time",
                whole,
                moved(tracing) / calls,
            )
            for how, tracing in (("a layer", layers), ("a module", modules))
        ),
        *computed(),
    ]
    return Result("Layer-wise offload", rows, [NOTE])


NAMES = ("hidden_size", "intermediate_size", "num_hidden_layers")
NOTE = (
    "Weights are only read: accelerate drops a layer's copy when it is done. Copying it back, as "
    "the article's schedule does, would double the traffic for nothing."
)


def offloaded(config: LlamaConfig, whole_classes: list[str]) -> Tracing:
    model = LlamaForCausalLM(config).eval()
    prompt = torch.ones(1, 16, dtype=torch.int64)
    with TemporaryDirectory() as folder:
        accelerate.disk_offload(
            model, folder, torch.device("cpu"), preload_module_classes=whole_classes
        )
        gc.collect()  # what was in memory before
        with memprof.trace() as tracing:
            model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=4,
                min_new_tokens=4,
                do_sample=False,
                pad_token_id=0,
            )
    return tracing


def resident(tracing: Tracing) -> int:
    return tracing.analysis.device("cpu").category_peaks["weights"].bytes


def moved(tracing: Tracing) -> int:
    """Bytes of weights that came into being: every rise of their level."""
    level = tracing.analysis.device("cpu").series("weights")
    return int(np.diff(level, prepend=0).clip(min=0).sum())


def bytes_of(module: torch.nn.Module) -> int:
    return sum(each.nbytes for each in module.parameters())


def largest(model: LlamaForCausalLM) -> int:
    return max(each.nbytes for each in model.parameters())


def computed() -> Iterator[Row]:
    model = memprof.estimate("llama-3-70b", RunSpec("decode", dtype="fp16")).model
    layer = sum(each.nbytes for each in model.parameters if ".layers.0." in each.name)
    two = offload(model, 2, buffers=0)
    yield Row("2 of 80 layers, of 10–15 GB", f"2 × {layer:,} B", 2 * layer)
    yield Row(
        "beside it: embedding, head and norm",
        "what belongs to no layer",
        two.device_bytes - 2 * layer,
    )
    yield Row("remaining 78 layers = 130 GB", f"78 × {layer:,} B", two.host_bytes)
    yield Row(
        "beside it: its time for a token",
        f"80 × {layer:,} B / 64 GB/s of PCIe 5.0 x16, for every token",
        offload(model, 0).seconds(hardware("h100").host_link),
        unit="s",
    )


if __name__ == "__main__":
    main(measure)
