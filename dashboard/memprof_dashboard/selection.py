"""Which live tensors the words in the filter choose, those of a finding among them."""

from __future__ import annotations

import dataclasses
import re

import numpy as np

from memprof.analyze import LiveSet
from memprof.analyze.search import matching
from memprof_dashboard.state import Shown

_NUMBERED = re.compile(r"(finding|leak):(\d+)", re.IGNORECASE)


def chosen_tensors(shown: Shown, number: int, event: int | None, text: str | None) -> LiveSet:
    """The live tensors of a moment that every word of `text` fits.

    "finding:2" are those that show the second finding and "leak:1" those of the first line that
    leaks; every other word means what `matching` says.
    """
    live = shown.moment(number, event).live()
    for kind, place in _NUMBERED.findall(text or ""):
        wanted = _allocations(shown, number, kind.lower(), int(place) - 1)
        kept = live.allocations[np.isin(live.allocations, wanted)]
        live = dataclasses.replace(live, allocations=kept)
    return matching(live, _NUMBERED.sub("", text or ""))


def _allocations(shown: Shown, number: int, kind: str, place: int) -> tuple[int, ...]:
    found = shown.findings(number) if kind == "finding" else shown.leaks(number)
    return found[place].allocations if 0 <= place < len(found) else ()
