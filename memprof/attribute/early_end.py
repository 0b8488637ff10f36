"""A trace that ends early: what its last allocations were to be, told by their like before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memprof.attribute.lifetime import Flags, Lifetimes
from memprof.attribute.rules import rule_number
from memprof.trace import CATEGORIES, Trace
from memprof.trace.document import Ints

_UNCERTAIN = ("awaits_backward", "cut_off", "unknown")
_WEIGHTS, _GRADIENTS = CATEGORIES.index("weights"), CATEGORIES.index("gradients")


def reconsider(
    trace: Trace, lives: Lifetimes, modules: Ints, rule: Ints, category: Ints
) -> tuple[Ints, Ints]:
    """Decides again on allocations alive at an early end whose category was uncertain.

    The category of the latest earlier allocation of the same size, operation, module, device and
    kind of phase counts. In a backward without such an example, which an end in the first step
    leaves, what has the size of a weight is taken for its gradient.

    Returns:
        Rules and categories, an entry an allocation.
    """
    verdict = _Verdict(rule.copy(), category.copy())
    uncertain = np.isin(rule, [rule_number(name) for name in _UNCERTAIN])
    asking = np.flatnonzero(uncertain & ~lives.died)
    certain = np.flatnonzero(~uncertain & (rule != rule_number("unseen_birth")))
    rows = trace.allocations
    phase = trace.phases.name[rows.phase]
    traits = np.stack([rows.nbytes, rows.device, phase, rows.op, modules])
    like = _latest_like(traits, asking, certain)
    verdict.decide(asking[like >= 0], "alike", category[like[like >= 0]])
    left = asking[(like < 0) & _in_open_backward(lives)[asking]]
    weight = _latest_like(traits[:2], left, np.flatnonzero(category == _WEIGHTS))
    verdict.decide(left[weight >= 0], "sized_like_a_weight", _GRADIENTS)
    return verdict.rule, verdict.category


@dataclass(frozen=True, slots=True)
class _Verdict:
    rule: Ints
    category: Ints

    def decide(self, allocations: Ints, rule: str, category: Ints | int) -> None:
        self.rule[allocations] = rule_number(rule)
        self.category[allocations] = category


def _in_open_backward(lives: Lifetimes) -> Flags:
    return lives.born_in("backward") & lives.cut_off()


def _latest_like(traits: Ints, asking: Ints, examples: Ints) -> Ints:
    """For each of `asking` the latest earlier one of `examples` with the same traits, or -1."""
    both = np.concatenate([examples, asking])
    order = np.lexsort((both, _mixed(traits)[both]))
    is_example = order < len(examples)
    latest = np.maximum.accumulate(np.where(is_example, np.arange(len(both)), -1))
    like = np.full(len(both), -1)
    like[order[latest >= 0]] = both[order[latest[latest >= 0]]]
    found = like[len(examples) :]
    same = (traits[:, found] == traits[:, asking]).all(axis=0)
    return np.where(same, found, -1)


def _mixed(traits: Ints) -> Ints:
    """One number for each column of `traits`; equal columns get equal numbers."""
    mixed = np.zeros(traits.shape[1], np.uint64)
    for row in traits.astype(np.uint64):
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + row
    return mixed.view(np.int64)
