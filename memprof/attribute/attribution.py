"""Decides category, name and module of every allocation, over the whole trace at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memprof.attribute.early_end import reconsider
from memprof.attribute.lifetime import NEVER, Flags, Lifetimes, forward_born, lifetimes
from memprof.attribute.modules import birth_modules
from memprof.attribute.observed import observe
from memprof.attribute.rules import RULE_CATEGORY, RULES, rule_number
from memprof.trace import LABELS, ORIGINS, Trace
from memprof.trace.document import Ints

Small = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Attribution:
    """What every allocation of a trace is, an entry an allocation.

    Attributes:
        category: index into `trace.CATEGORIES`.
        rule: index into `RULES`: why it has this category.
        name: string number of the name it was given (a parameter's, a cache layer's), 0 for none.
        module: string number of the module it belongs to, 0 for none: the owner of a parameter,
            a gradient or a state; of everything else the module that made it.
        birth_module: string number of the module at work when it was born, 0 for none.
    """

    category: Small
    rule: Small
    name: Ints
    module: Ints
    birth_module: Ints


def attribute(trace: Trace) -> Attribution:
    """Applies the rules of `rules.py`, the first that holds deciding."""
    seen = observe(trace)
    modules = birth_modules(trace)
    lives = lifetimes(trace)
    rule = _rules(trace, lives, seen.rule)
    category = np.where(rule == seen.rule, seen.category, np.array(RULE_CATEGORY)[rule])
    if not trace.complete:
        rule, category = reconsider(trace, lives, modules, rule, category)
    module = np.where(seen.owner > 0, seen.owner, modules)
    return Attribution(category.astype(np.uint8), rule.astype(np.uint8), seen.name, module, modules)


def _rules(trace: Trace, lives: Lifetimes, labelled: Ints) -> Ints:
    """Returns the number of the first rule that holds, for each allocation."""
    rule = np.full(len(labelled), rule_number("unknown"))
    for name, holds in reversed(_lifetime_rules(trace, lives)):
        rule[holds] = rule_number(name)
    rule[_unseen(trace) & (labelled == len(RULES))] = rule_number("unseen_birth")
    first: Ints = np.minimum(rule, labelled)
    return first


def _lifetime_rules(trace: Trace, lives: Lifetimes) -> list[tuple[str, Flags]]:
    """The rules that rest on how long something lived, strongest first."""
    forward, alive_at = forward_born(lives), lives.next_backward_ns()
    phase_end = lives.phase_end_ns()
    backward_soon = (alive_at < lives.horizon_ns) & (lives.died_ns >= alive_at)
    return [
        ("alive_at_backward", forward & backward_soon),
        ("recomputed", lives.born_in("recompute") & (lives.died_ns > phase_end)),
        (
            "outlived_forward",
            _left_behind(trace, lives)
            & (lives.died_ns > phase_end)
            & (alive_at >= lives.horizon_ns),
        ),
        ("within_phase", lives.died & (lives.died_ns <= phase_end)),
        ("short_lived", lives.died & (lives.died_ns <= lives.horizon_ns)),
        ("awaits_backward", forward & (alive_at == NEVER) & ~lives.died & any(_gradients(trace))),
        ("cut_off", lives.cut_off()),
    ]


def _unseen(trace: Trace) -> Flags:
    unseen = [ORIGINS.index("before"), ORIGINS.index("found")]
    flags: Flags = np.isin(trace.allocations.origin, unseen)
    return flags


def _left_behind(trace: Trace, lives: Lifetimes) -> Flags:
    """What a forward that no backward follows hands to nobody: its graph, or its error, keeps it.

    Only told where every call had gradients on; a forward without them keeps nothing.
    """
    gradients = _gradients(trace)
    if not gradients or not all(gradients):
        return np.zeros(len(trace.allocations), bool)
    returned = np.zeros(len(trace.allocations), bool)
    returned[trace.labels.allocation[trace.labels.kind == LABELS.index("output")]] = True
    return lives.born_in("forward") & ~returned & lives.died & (lives.died_ns <= lives.horizon_ns)


def _gradients(trace: Trace) -> list[bool]:
    """Whether gradients were on, by style of call of a model; or as memory ran out."""
    calls = [*trace.facts_of("call"), *trace.facts_of("out_of_memory")]
    return [call.get("grad") is True for call in calls]
