"""What the target's kernels use and the fake run does not show, each rule with its source."""

from memprof.predict.rules.registry import RULES, check_names, rules_without
from memprof.predict.rules.rule import Call, Held, Rule

__all__ = ["RULES", "Call", "Held", "Rule", "check_names", "rules_without"]
