"""What mixtures of experts keep for backward: transformers' grouped products over sorted tokens.

The code is `grouped_mm_experts_forward` of `integrations/moe.py`: every token's K copies are sorted
by expert, so the bytes do not depend on which experts are chosen.
"""

from __future__ import annotations

from typing import Final

from memprof.estimate.activations import Part, Unknown, number
from memprof.estimate.experts import expert_counts
from memprof.estimate.llama_sizes import LlamaSizes
from memprof.estimate.model_spec import ModelSpec

#: Architectures whose every layer has experts that the formulas know.
KNOWN: Final = ("mixtral", "qwen3_moe")
_INDEX: Final = 8


def expert_parts(
    model: ModelSpec, sizes: LlamaSizes, element: int, routed: int
) -> tuple[Part, ...]:
    """What a layer's router and experts keep, besides the router's input.

    Args:
        model: with its configuration.
        sizes: of one call.
        element: bytes of an element of the experts.
        routed: bytes of an element of the router's result; Mixtral's weights are in float32.

    Raises:
        Unknown: if the configuration has layers without experts.
    """
    experts, chosen = expert_counts(model)
    pairs, inner = sizes.rows * chosen, expert_width(model)
    weight = 4 if model.model_type == "mixtral" else routed
    return (
        Part("tokens, copied for each expert", pairs * sizes.hidden * element),
        Part("gate and up of the experts", 2 * pairs * inner * element),
        Part("activation of the experts", pairs * inner * element),
        Part("product of gate and up of the experts", pairs * inner * element),
        Part("results of the experts", pairs * sizes.hidden * element),
        Part("weights of the chosen experts, sorted", weight * pairs),
        Part("order of the experts", 4 * _INDEX * pairs + 4 * experts),
        Part("probabilities of the experts", 4 * sizes.rows * experts),
        *_chosen(model, sizes, pairs),
    )


def _chosen(model: ModelSpec, sizes: LlamaSizes, pairs: int) -> tuple[Part, ...]:
    if model.model_type != "mixtral" and not model.config.get("norm_topk_prob"):
        return ()
    return (
        Part("weights of the chosen experts", 4 * pairs),
        Part("sum of the chosen experts' weights", 4 * sizes.rows),
    )


def expert_width(model: ModelSpec) -> int:
    """Inner width of one expert.

    Raises:
        Unknown: if the configuration does not tell it, or has layers without experts.
    """
    config = model.config
    if config.get("mlp_only_layers") or (config.get("decoder_sparse_step") or 1) != 1:
        raise Unknown("no formula for layers with and without experts side by side")
    own = "intermediate_size" if model.model_type == "mixtral" else "moe_intermediate_size"
    return number(model, own)
