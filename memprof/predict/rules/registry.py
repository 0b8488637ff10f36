"""All rules, by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from memprof.errors import UsageError
from memprof.predict.rules.cublas import CublasWorkspace
from memprof.predict.rules.flash import FlashBackward
from memprof.predict.rules.rule import Rule

RULES: Final[tuple[Rule, ...]] = (CublasWorkspace(), FlashBackward())

#: Rules that are no memory beside a kernel's results, and what each says.
CHOICES: Final = {
    "attention_kernels": "which kernel scaled_dot_product_attention takes on a GPU",
}


def check_names(names: Iterable[str]) -> frozenset[str]:
    """The names of rules to leave out.

    Raises:
        UsageError: if there is no such rule.
    """
    known = [rule.name for rule in RULES] + list(CHOICES)
    for name in names:
        if name not in known:
            raise UsageError(f"rule {name!r} is unknown: there are {', '.join(known)}")
    return frozenset(names)


def rules_without(names: frozenset[str]) -> list[Rule]:
    """The rules that are not switched off."""
    return [rule for rule in RULES if rule.name not in names]
