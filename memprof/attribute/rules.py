"""The rules of attribution, in the order in which they are asked: the first that holds decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from memprof.trace.schema import CATEGORIES, LABELS


@dataclass(frozen=True, slots=True)
class Rule:
    """Why an allocation has its category.

    Attributes:
        name: short and stable, for files and tables.
        category: what the rule decides; "" where the label or a like allocation says it.
        reason: one clause for people, to follow "because".
        label: the observation that the rule rests on; "" where it rests on the lifetime.
    """

    name: str
    category: str
    reason: str
    label: str = ""


_ORDER: Final = (
    Rule("tag", "", "the program tagged it"),
    Rule(
        "gathered",
        "communication",
        "it holds weights gathered from the shards of all processes",
        "gathered",
    ),
    Rule("parameter", "weights", "it is the storage of a parameter", "parameter"),
    Rule(
        "optimizer_state", "optimizer_state", "the optimizer keeps it as state", "optimizer_state"
    ),
    Rule("gradient", "gradients", "it is or became the gradient of a parameter", "gradient"),
    Rule("kv_cache", "kv_cache", "a cache of keys and values holds it", "kv_cache"),
    Rule("recurrent_state", "recurrent_state", "a cache of states holds it", "recurrent_state"),
    Rule("buffer", "buffers", "it is a module's buffer", "buffer"),
    Rule(
        "communication",
        "communication",
        "it was made for processes to exchange data through",
        "communication",
    ),
    Rule("input", "inputs", "it was passed into the model", "input"),
    Rule("saved", "activations", "the autograd graph keeps it for backward", "saved_for_backward"),
    Rule(
        "exchanged",
        "communication",
        "processes exchanged what it holds, and nothing else claims it",
        "exchanged",
    ),
    Rule("unseen_birth", "unattributed", "its birth was not seen and nothing names it"),
    Rule("alive_at_backward", "activations", "it was made in a forward and lived on into backward"),
    Rule("recomputed", "activations", "it was recomputed and outlived the recomputation"),
    Rule("outlived_forward", "activations", "a forward with gradients made it and left it behind"),
    Rule("within_phase", "temporary", "it was born and died within one phase"),
    Rule("short_lived", "temporary", "it died by the end of the step after its own"),
    Rule("output", "temporary", "the model returned it", "output"),
    Rule("alike", "", "its like in an earlier step was, and the trace ends early"),
    Rule(
        "sized_like_a_weight",
        "gradients",
        "it has the size of a weight, and the trace ends early in the backward that made it",
    ),
    Rule("awaits_backward", "activations", "a forward with gradients made it and no backward came"),
    Rule("cut_off", "temporary", "it was born in a phase that the trace's early end cuts off"),
    Rule("unknown", "unattributed", "no rule knows what it is"),
)

#: Names of the rules; `Attribution.rule` holds indices into it.
RULES: Final = tuple(rule.name for rule in _ORDER)

#: What to tell people, by the rule's name.
REASONS: Final = {rule.name: rule.reason for rule in _ORDER}

#: The category that a rule decides, by the rule's number; meaningless where it has none of its own.
RULE_CATEGORY: Final = tuple(CATEGORIES.index(rule.category or "unattributed") for rule in _ORDER)

#: Phases that memprof itself opens; all others are the user's.
AUTOMATIC_PHASES: Final = (
    "forward",
    "prefill",
    "decode",
    "recompute",
    "backward",
    "optimizer",
    "load",
)


def rule_number(name: str) -> int:
    """Returns the place of a rule in `RULES`."""
    return RULES.index(name)


def _label_rule(label: str) -> int:
    if label.startswith("tag:"):
        return RULES.index("tag")
    return next(number for number, rule in enumerate(_ORDER) if rule.label == label)


def _label_category(label: str) -> int:
    if label.startswith("tag:"):
        return CATEGORIES.index(label.removeprefix("tag:"))
    return RULE_CATEGORY[_label_rule(label)]


#: The rule and the category that each label of `schema.LABELS` asks for.
LABEL_RULE: Final = tuple(_label_rule(label) for label in LABELS)
LABEL_CATEGORY: Final = tuple(_label_category(label) for label in LABELS)
