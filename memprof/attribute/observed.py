"""What the labels say: of several labels of one allocation the strongest rule wins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memprof.attribute.rules import LABEL_CATEGORY, LABEL_RULE, RULES, rule_number
from memprof.trace import LABELS, Trace
from memprof.trace.document import Ints

#: Labels whose module says where an allocation belongs, not merely who met it.
_OWNING = tuple(label not in ("saved_for_backward", "input", "output") for label in LABELS)


@dataclass(frozen=True, slots=True)
class Observed:
    """What was observed, an entry an allocation.

    Attributes:
        rule: index into `RULES`; `len(RULES)` where there is no label.
        category: index into `CATEGORIES`; meaningless where there is no label.
        name: string number of the strongest label that has a name, else 0. The name of the
            autograd node that keeps an activation counts least.
        owner: string number of the module it belongs to, else 0.
    """

    rule: Ints
    category: Ints
    name: Ints
    owner: Ints


def observe(trace: Trace) -> Observed:
    """Reads the labels; an allocation that continues another one inherits those of the other."""
    count = len(trace.allocations)
    seen = Observed(np.full(count, len(RULES)), *(np.zeros(count, np.int64) for _ in range(3)))
    rule = np.array(LABEL_RULE)[trace.labels.kind]
    weakest_first = np.argsort(-rule, kind="stable")
    _write_down(trace, seen, weakest_first, rule[weakest_first])
    return _inherited(seen, trace.allocations.previous)


def _write_down(trace: Trace, seen: Observed, rows: Ints, rule: Ints) -> None:
    """Writes `rows` in their order, each over what an earlier one wrote of the same allocation."""
    labels = trace.labels
    allocation, kind = labels.allocation[rows], labels.kind[rows]
    name, module = labels.name[rows], labels.module[rows]
    seen.rule[allocation] = rule
    seen.category[allocation] = np.array(LABEL_CATEGORY)[kind]
    of_node = rule == rule_number("saved")
    kept = of_node & (seen.rule[allocation] == rule)
    for chosen in (kept, ~of_node & (name > 0)):
        seen.name[allocation[chosen]] = name[chosen]
    owning = np.array(_OWNING)[kind] & (module > 0)
    seen.owner[allocation[owning]] = module[owning]


def _inherited(seen: Observed, previous: Ints) -> Observed:
    if not (previous >= 0).any():
        return seen
    heir = np.arange(len(previous))
    source = _strongest(seen.rule, np.where(previous >= 0, previous, heir))
    return Observed(seen.rule[source], seen.category[source], seen.name[source], seen.owner[source])


def _strongest(rule: Ints, ancestor: Ints) -> Ints:
    """Returns, for each, which of itself and its ancestors has the strongest rule, nearest first.

    Looks at twice as many ancestors in each round, so that long chains cost little.
    """
    source = np.arange(len(rule))
    for _ in range(len(rule).bit_length() + 1):
        source = np.where(rule[source[ancestor]] < rule[source], source[ancestor], source)
        ancestor = ancestor[ancestor]
    return source
