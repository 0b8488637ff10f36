"""gpt-oss: attention with sinks and biases, experts with biases.

OpenAI, gpt-oss-120b & gpt-oss-20b model card, 2508.10925; `modeling_gpt_oss.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from memprof.estimate.shapes.decoder import attention, decoder
from memprof.estimate.shapes.parts import Config, Named


def gpt_oss(config: Config) -> Iterator[Named]:
    """As Mixtral with a learned sink for each head and a bias on every projection."""
    return decoder({"attention_bias": True, **config}, _attention, _experts)


def _attention(config: Config, name: str, layer: int) -> Iterator[Named]:
    yield f"{name}.sinks", (config["num_attention_heads"],)
    yield from attention(config, name, layer)


def _experts(config: Config, name: str, _layer: int) -> Iterator[Named]:
    h, inner, experts = (
        config[key] for key in ("hidden_size", "intermediate_size", "num_local_experts")
    )
    yield f"{name}.router.weight", (experts, h)
    yield f"{name}.router.bias", (experts,)
    yield f"{name}.experts.gate_up_proj", (experts, h, 2 * inner)
    yield f"{name}.experts.gate_up_proj_bias", (experts, 2 * inner)
    yield f"{name}.experts.down_proj", (experts, inner, h)
    yield f"{name}.experts.down_proj_bias", (experts, h)
