"""What somebody may have meant who asked for a name that does not exist."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches


def closest(word: str, names: Sequence[str]) -> str:
    """Says which of the names are close to a word, or how many there are."""
    found = get_close_matches(word, names, n=3, cutoff=0.5)
    found += [name for name in names if word and word in name and name not in found][:3]
    if found:
        return f"did you mean {' or '.join(found[:3])}?"
    return f"known are {', '.join(sorted(names))}"
