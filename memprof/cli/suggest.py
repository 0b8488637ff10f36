"""What somebody may have meant who typed something else."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from memprof.errors import UsageError

_TRACES = (".json", ".json.gz", ".json.zst")
_SNAPSHOTS = (".pickle", ".pkl", ".html")


def check_verb(word: str, verbs: Sequence[str]) -> None:
    """Returns if `word` is a verb or an option; raises UsageError with a suggestion otherwise."""
    if word.startswith("-") or word in verbs:
        return
    raise UsageError(f"{word!r} is no verb of memprof; {suggestion(word, verbs)}")


def suggestion(word: str, verbs: Sequence[str]) -> str:
    """Says what to type instead of `word`."""
    if word.endswith(".py"):
        return f"did you mean: memprof run {word}"
    if word.endswith(_TRACES) and Path(word).is_file():
        return f"did you mean: memprof report {word}"
    if word.endswith(_SNAPSHOTS) and Path(word).is_file():
        return f"did you mean: memprof replay {word}"
    close = get_close_matches(word, verbs, n=1)
    if close:
        return f"did you mean: memprof {close[0]}"
    return f"it may be {', '.join(verbs[:-1])} or {verbs[-1]} (see memprof --help)"
