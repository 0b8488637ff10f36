"""INT8 and INT4 weights as libraries really store them: numbers, scales and zero points.

python -m samples.lab.quantised_weights
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import bitsandbytes
import gguf
import numpy as np
import torch
from torch import nn
from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig
from torchao.quantization import Int8WeightOnlyConfig, quantize_

import memprof
from memprof.estimate import RunSpec
from memprof.estimate.quantized import FORMATS
from samples.lab.recorded import highest
from samples.lab.table import Result, Row, main

GROUP = 128


def measure(quick: bool) -> Result:
    """Quantises a layer in each way and holds its bytes against the formula."""
    width = (1024, 512) if quick else (4096, 4096)
    rows = [
        *of_torchao(*width),
        *of_bitsandbytes(*width),
        *as_layouts(*width),
        *as_gguf(*width),
        *computed(),
    ]
    return Result("INT8 and INT4 weights", rows, NOTES)


NOTES = (
    "Scales and zero points take 0.15 to 0.5 bits a weight more than “0.5 bytes”, and embeddings "
    "and norms usually stay 16-bit.",
    "AWQ's and GPTQ's layers keep everything in buffers, and that is the category they have.",
)


def of_torchao(inputs: int, outputs: int) -> Iterator[Row]:
    size = inputs * outputs
    yield Row(
        "INT8: 1 byte per parameter (torchao)",
        f"{size:,} × 1 B + {outputs:,} rows × (4 B scale + 1 B zero point)",
        size + 5 * outputs,
        called(quantised(linear(inputs, outputs), Int8WeightOnlyConfig())),
    )
    yield Row(
        "INT4: 0.5 bytes per parameter (torchao)",
        f"{size:,} × (½ B + 2 × 2 B / {GROUP})",
        size // 2 + 4 * size // GROUP,
        called(quantised(linear(inputs, outputs), PrototypeInt4WeightOnlyConfig(GROUP))),
    )


def of_bitsandbytes(inputs: int, outputs: int) -> Iterator[Row]:
    size = inputs * outputs
    layer = bitsandbytes.nn.Linear4bit(
        inputs, outputs, bias=False, quant_type="nf4", compress_statistics=False
    )
    yield Row(
        "INT4: 0.5 bytes (bitsandbytes NF4)",
        f"{size:,} × (½ B + 4 B / 64) + 16 levels × 4 B",
        FORMATS["nf4"]((outputs, inputs)),
        called(layer.to("cpu")),
    )


def as_layouts(inputs: int, outputs: int) -> Iterator[Row]:
    size = inputs * outputs
    yield Row(
        "INT4: 0.5 bytes (AWQ's layout)",
        f"{size:,} × (½ B + (2 B scale + ½ B zero point) / {GROUP})",
        FORMATS["int4"]((outputs, inputs)),
        called(awq_layer(inputs, outputs), "buffers"),
    )
    yield Row(
        "INT4: 0.5 bytes (GPTQ's layout)",
        f"{size:,} × (½ B + 2½ B / {GROUP}) + {inputs:,} × 4 B for the order of the inputs",
        FORMATS["int4"]((outputs, inputs)) + 4 * inputs,
        called(gptq_layer(inputs, outputs), "buffers"),
    )


def as_gguf(inputs: int, outputs: int) -> Iterator[Row]:
    """Written to a file and read back by the gguf package; blocks of 32 with a 16-bit scale."""
    size = inputs * outputs
    for kind, claim in (("Q8_0", "INT8: 1 byte"), ("Q4_0", "INT4: 0.5 bytes")):
        nbytes = FORMATS[kind.lower()]((outputs, inputs))
        yield Row(
            f"{claim} (GGUF {kind})",
            f"{size:,} × {8 * nbytes / size:g} bits: blocks of 32 with a 16-bit scale",
            nbytes,
            called(from_gguf(inputs, outputs, gguf.GGMLQuantizationType[kind])),
        )


def computed() -> Iterator[Row]:
    run = RunSpec("decode", dtype="bf16", quantization="int4")
    told = memprof.estimate("llama-2-7b", run).by_category["weights"]
    yield Row("INT4, 7B: 3.5 GB", f"llama-2-7b: {told.formula}", told.bytes)


def linear(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, outputs, bias=False, dtype=torch.bfloat16))


def quantised(model: nn.Module, config: Any) -> nn.Module:
    quantize_(model, config)
    return model


class Layout(nn.Module):
    """A quantised layer as its checkpoint stores it."""

    def __init__(self, **buffers: torch.Tensor) -> None:
        super().__init__()
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor)

    def forward(self) -> list[torch.Tensor]:
        return list(self.buffers())


def awq_layer(inputs: int, outputs: int) -> nn.Module:
    """Eight 4-bit numbers in an int32, packed along the outputs."""
    return Layout(
        qweight=torch.zeros(inputs, outputs // 8, dtype=torch.int32),
        qzeros=torch.zeros(inputs // GROUP, outputs // 8, dtype=torch.int32),
        scales=torch.zeros(inputs // GROUP, outputs, dtype=torch.float16),
    )


def gptq_layer(inputs: int, outputs: int) -> nn.Module:
    """The same packed along the inputs, and the group of every input."""
    return Layout(
        qweight=torch.zeros(inputs // 8, outputs, dtype=torch.int32),
        qzeros=torch.zeros(inputs // GROUP, outputs // 8, dtype=torch.int32),
        scales=torch.zeros(inputs // GROUP, outputs, dtype=torch.float16),
        g_idx=torch.arange(inputs, dtype=torch.int32) // GROUP,
    )


class Packed(nn.Module):
    """A tensor of a GGUF file in its own blocks, as llama.cpp keeps it."""

    def __init__(self, blocks: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(blocks, requires_grad=False)

    def forward(self) -> torch.Tensor:
        return self.weight


def from_gguf(inputs: int, outputs: int, kind: gguf.GGMLQuantizationType) -> nn.Module:
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.gguf")
        values = np.random.default_rng(0).standard_normal((outputs, inputs), np.float32)
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_tensor("blk.0.ffn_up.weight", gguf.quantize(values, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        (tensor,) = gguf.GGUFReader(path).tensors
        return Packed(torch.from_numpy(np.array(tensor.data)))


def called(layer: nn.Module, category: str = "weights") -> int:
    """Bytes of a layer once a recording has seen it work."""
    gc.collect()  # layers before it lie in cycles of references
    given = [torch.randn(1, width, dtype=torch.bfloat16) for width in inputs_of(layer)]
    with memprof.trace() as tracing, torch.no_grad():
        layer(*given)
    return highest(tracing, category)


def inputs_of(layer: nn.Module) -> list[int]:
    """The width of a layer that computes; the layouts and blocks only hold."""
    linears = [part for part in layer.modules() if isinstance(part, nn.Linear)]
    return [linears[0].in_features] if linears else []


if __name__ == "__main__":
    main(measure)
