"""Mixtures of experts: all of them are resident, and only some are read.

A token is routed to K of E experts. T independent tokens touch E(1 − (1 − K/E)^T) of them, which is
what a call has to read; shared experts are read by all (Jiang et al., 2401.04088).
"""

from __future__ import annotations

from typing import Final

from memprof.estimate.cache_layout import first_of
from memprof.estimate.model_spec import ModelSpec, TensorSpec

#: Names under which configurations tell how many experts a layer has.
EXPERTS: Final = ("num_local_experts", "num_experts", "n_routed_experts")
_CHOSEN: Final = ("num_experts_per_tok", "experts_per_token", "num_experts_per_token")


def expert_counts(model: ModelSpec) -> tuple[int, int]:
    """Experts of a layer and how many a token goes to; (1, 1) for models without any."""
    experts, chosen = first_of(model.config, EXPERTS), first_of(model.config, _CHOSEN)
    return (experts, chosen) if experts and chosen else (1, 1)


def touched_experts(experts: int, chosen: int, tokens: int) -> float:
    """Experts of a layer that a call of independent tokens is expected to read."""
    return experts * (1 - (1 - chosen / experts) ** tokens)


def is_expert(tensor: TensorSpec) -> bool:
    """Whether a parameter belongs to the routed experts of a layer."""
    return "experts" in tensor.name.split(".")


def active_parameters(model: ModelSpec) -> int | None:
    """Parameters that one token passes through, embedding and head included."""
    own = model.unique_parameters()
    if not own:
        return None
    experts, chosen = expert_counts(model)
    routed = sum(tensor.elements for tensor in own if is_expert(tensor))
    return sum(tensor.elements for tensor in own) - routed + routed * chosen // experts


def read_bytes(model: ModelSpec, tokens: int) -> int:
    """Weights that a call of so many tokens reads: of the embedding its own rows alone.

    Args:
        model: one device's part.
        tokens: of all sequences.
    """
    own = model.unique_parameters()
    experts, chosen = expert_counts(model)
    share = touched_experts(experts, min(chosen, experts), tokens) / experts
    routed = sum(tensor.nbytes for tensor in own if is_expert(tensor))
    table = lookup_table(model)
    rows = 0 if table is None else table.nbytes - tokens * table.nbytes // max(table.shape[0], 1)
    whole = sum(tensor.nbytes for tensor in own)
    return round(whole - routed * (1 - share)) - max(rows, 0)


def lookup_table(model: ModelSpec) -> TensorSpec | None:
    """The embedding, where it is not the head as well."""
    own = model.unique_parameters()
    untied = any("head.weight" in tensor.name for tensor in own)
    first = next((each for each in own if "emb" in each.name or "wte" in each.name), None)
    return first if untied else None
