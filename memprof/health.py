"""One thing that memprof needs or can use, and how it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

OK: Final = "ok"
MISSING: Final = "missing"
BROKEN: Final = "broken"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `memprof doctor`.

    Attributes:
        name: what was looked at.
        state: `OK`, `MISSING` if memprof does without it, `BROKEN` if it should not have to.
        text: what was found.
        fix: what to do about it; empty where nothing is to be done.
    """

    name: str
    state: str
    text: str
    fix: str = ""
