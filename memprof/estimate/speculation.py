"""Speculative decoding: a small model proposes tokens that a large one checks in one call.

Leviathan et al., Fast Inference from Transformers via Speculative Decoding, 2211.17192. With γ
proposals of which each is accepted with probability α, a round yields (1 − α^(γ+1)) / (1 − α)
tokens, the large model's own included. Both models and both caches are resident all the time.
"""

from __future__ import annotations

from dataclasses import dataclass

from memprof.errors import UsageError


@dataclass(frozen=True, slots=True)
class Speculation:
    """What a round moves and yields.

    Attributes:
        tokens_per_round: accepted tokens, the large model's own included, on average.
        bytes_per_round: that both models read: the large one once, the small one for each proposal.
        resident_bytes: of both models and both caches.
        plain_bytes_per_token: what the large model alone reads for a token.
    """

    tokens_per_round: float
    bytes_per_round: int
    resident_bytes: int
    plain_bytes_per_token: int

    @property
    def bytes_per_token(self) -> float:
        """Bytes moved for each token that is kept."""
        return self.bytes_per_round / self.tokens_per_round

    @property
    def gain(self) -> float:
        """How many times fewer bytes a token takes than without a small model."""
        return self.plain_bytes_per_token / self.bytes_per_token


def speculation(
    *,
    target: int,
    draft: int,
    proposals: int,
    acceptance: float,
    target_cache: int = 0,
    draft_cache: int = 0,
) -> Speculation:
    """What speculative decoding moves and holds.

    Args:
        target: bytes of the large model's weights.
        draft: the same of the small one.
        proposals: γ, tokens that the small model proposes in a round.
        acceptance: α, probability of each to be accepted, 0 to 1.
        target_cache: bytes of keys and values that a call of the large model reads.
        draft_cache: the same of the small one.

    Raises:
        UsageError: if a value cannot mean anything.
    """
    if proposals < 1:
        raise UsageError(f"{proposals} proposals: the small model proposes at least 1 token")
    return Speculation(
        tokens_per_round=accepted_tokens(acceptance, proposals),
        bytes_per_round=target + target_cache + proposals * (draft + draft_cache),
        resident_bytes=target + draft + target_cache + draft_cache,
        plain_bytes_per_token=target + target_cache,
    )


def accepted_tokens(acceptance: float, proposals: int) -> float:
    """Tokens that a round yields on average: (1 − α^(γ+1)) / (1 − α).

    Raises:
        UsageError: if the acceptance is no probability.
    """
    if not 0 <= acceptance <= 1:
        raise UsageError(f"an acceptance of {acceptance} is no probability: it is from 0 to 1")
    if acceptance == 1:
        return proposals + 1.0
    return float((1 - acceptance ** (proposals + 1)) / (1 - acceptance))
