"""Recordings with faults in them: whatever they hold, there is an answer, and it is not exact."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from memprof.predict.replay import Action, Question, Recording, recording_answer
from tests.predict.allocator.programs import MIB
from tests.predict.allocator.reference import Rules
from tests.predict.replay.recorder import recorded

SETTINGS = {
    "": {},
    "max_split_size_mb:20": {"max_split": 20 * MIB},
    "expandable_segments:True": {"expandable": True},
}


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_recording_has_an_answer(seed: int) -> None:
    chance = random.Random(seed)
    settings = chance.choice(list(SETTINGS))
    rules = Rules(**SETTINGS[settings], capacity=chance.choice([math.inf, 300 * MIB]))
    whole = recorded(settings, rules, seed % 7)
    damaged = _damaged(whole, chance)
    answer = recording_answer(damaged, Question(capacity=200 * MIB))
    assert answer["exact"] is (answer["mismatches"] == 0)
    assert len(answer["told"]) == min(answer["mismatches"], 20)


def _damaged(recording: Recording, chance: random.Random) -> Recording:
    events, segments = list(recording.events), list(recording.segments)
    for _ in range(chance.randrange(1, 4)):
        place, other = chance.randrange(len(events)), chance.choice(events)
        event = events[place]
        match chance.randrange(6):
            case 0:
                del events[place]
            case 1:
                events.insert(place, other)
            case 2:
                events[place] = event._replace(size=chance.choice([0, 1, event.size * 2, 1 << 40]))
            case 3:
                events[place] = event._replace(address=chance.choice([0, other.address, 1 << 61]))
            case 4:
                events[place] = event._replace(action=chance.choice(list(Action)))
            case _:
                del segments[chance.randrange(len(segments)) :]
                segments = segments or list(recording.segments)
    return replace(recording, events=events, segments=tuple(segments))


@pytest.mark.parametrize("lost", ["first", "middle", "last"])
def test_one_lost_allocation_is_noticed(lost: str) -> None:
    whole = recorded("", Rules(), seed=2)
    allocs = [n for n, event in enumerate(whole.events) if event.action is Action.ALLOC]
    place = {"first": allocs[0], "middle": allocs[len(allocs) // 2], "last": allocs[-1]}[lost]
    events = [event for number, event in enumerate(whole.events) if number != place]
    assert not recording_answer(replace(whole, events=events), Question())["exact"]
