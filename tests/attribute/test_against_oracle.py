"""Random traces: the vectorised rules and the plain loops agree on every allocation."""

from __future__ import annotations

from collections import Counter

import pytest

from memprof.attribute import RULES, attribute
from memprof.trace import CATEGORIES
from tests.attribute.oracle import birth_module, categories
from tests.random_traces import RandomProgram


@pytest.mark.parametrize("seed", range(60))
def test_every_allocation_gets_the_category_of_the_plain_loops(seed: int) -> None:
    trace = RandomProgram(seed).run(40 if seed < 30 else 250).trace()

    found = [CATEGORIES[number] for number in attribute(trace).category]

    assert found == categories(trace)


@pytest.mark.parametrize("seed", range(30))
def test_every_allocation_gets_the_module_that_made_its_autograd_node(seed: int) -> None:
    trace = RandomProgram(seed).run(250).trace()

    found = attribute(trace).birth_module.tolist()

    assert found == [birth_module(trace, number) for number in range(len(found))]


def test_the_random_traces_reach_every_category_and_every_rule_of_whole_traces() -> None:
    rules: Counter[str] = Counter()
    reached: Counter[str] = Counter()
    for seed in range(60):
        attribution = attribute(RandomProgram(seed + 1000).run(250).trace())
        rules.update(RULES[number] for number in attribution.rule)
        reached.update(CATEGORIES[number] for number in attribution.category)

    assert set(reached) == set(CATEGORIES)
    assert set(rules) == set(RULES) - {"alike", "cut_off", "sized_like_a_weight"}
