"""Finding live tensors by words in what is known of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from memprof.analyze.live import LiveSet
from memprof.analyze.phases import phase_path
from memprof.trace import CATEGORIES
from memprof.trace.document import Ints

_T = TypeVar("_T")
_Test = Callable[[_T], bool]
_Mask = npt.NDArray[np.bool_]


def matching(live: LiveSet, text: str) -> LiveSet:
    """Keeps the tensors in which every word of `text` is found, in whatever case.

    A word is looked for in name, module, op, category, phase, dtype and shape, and stack.
    "module:model.layers.3" keeps what belongs to that module and those below it, and
    "category:weights" one category; "module:" alone keeps what belongs to none.
    """
    kept = np.ones(len(live), bool)
    for word in text.lower().split():
        kept &= _has(live, word)
    return dataclasses.replace(live, allocations=live.allocations[kept])


def _has(live: LiveSet, word: str) -> _Mask:
    field, _, wanted = word.partition(":")
    if field == "category" and wanted:
        return _categories(live, [category == wanted for category in CATEGORIES])
    if field == "module" and word != field:
        module = live.levels.attribution.module[live.allocations]
        return _texts(live, module, lambda text: f"{text}.".startswith(f"{wanted}."))
    return _anywhere(live, word)


def _anywhere(live: LiveSet, word: str) -> _Mask:
    trace, attribution, chosen = live.levels.trace, live.levels.attribution, live.allocations
    found = _categories(live, [word in category for category in CATEGORIES])
    columns = [attribution.name[chosen], attribution.module[chosen], trace.allocations.op[chosen]]
    for numbers in columns + list(_details(live)):
        found |= _texts(live, numbers, lambda text: word in text)
    phases = trace.allocations.phase[chosen]
    return found | _among(phases, lambda number: word in phase_path(trace, number).lower())


def _categories(live: LiveSet, wanted: list[bool]) -> _Mask:
    return np.array(wanted)[live.levels.attribution.category[live.allocations]]


def _details(live: LiveSet) -> Ints:
    """Numbers of tensor text and stack text, shape `[2, tensors]`."""
    known = [live.details.get(index, (0, 0)) for index in live.allocations.tolist()]
    return np.array(known, np.int64).reshape(-1, 2).T


def _texts(live: LiveSet, numbers: Ints, wanted: _Test[str]) -> _Mask:
    strings = live.levels.trace.strings
    return _among(numbers, lambda number: wanted(strings[number].lower()))


def _among(numbers: Ints, wanted: _Test[int]) -> _Mask:
    """Asks `wanted` once for each distinct number."""
    distinct, place = np.unique(numbers, return_inverse=True)
    return np.array([wanted(int(number)) for number in distinct], bool)[place]
