"""The page on categories tells the rules that the code applies, in its order."""

from __future__ import annotations

import re
from pathlib import Path

from memprof.attribute.rules import RULE_CATEGORY, RULES
from memprof.trace import CATEGORIES

PAGE = Path(__file__).parents[2] / "docs" / "categories.md"


def test_the_page_lists_every_rule_in_order_with_its_category() -> None:
    listed = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PAGE.read_text(), re.MULTILINE)

    assert [rule for rule, _ in listed] == list(RULES)
    for rule, category in listed:
        if not category.endswith("'s"):
            assert category == CATEGORIES[RULE_CATEGORY[RULES.index(rule)]]
