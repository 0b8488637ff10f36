"""A row for each value of one option."""

from __future__ import annotations

from collections.abc import Sequence

from memprof.errors import UsageError


def values_of(text: str, known: Sequence[str]) -> tuple[str, list[int] | list[str]]:
    """Reads ``batch=1,2,4,8``: the option's name and its values, integers where all are.

    Raises:
        UsageError: if it is not of that form, or no option can be swept that is called so.
    """
    name, equals, listed = text.partition("=")
    name = name.strip().removeprefix("--").replace("-", "_")
    values = [value.strip() for value in listed.split(",") if value.strip()]
    if not equals or not values:
        raise UsageError(f"--sweep {text!r}: write it like --sweep batch=1,2,4,8")
    if name not in known:
        raise UsageError(f"--sweep {name!r}: choose one of {', '.join(known)}")
    if all(value.lstrip("-").isdigit() for value in values):
        return name, [int(value) for value in values]
    if name not in ("dtype", "checkpointing"):
        raise UsageError(f"--sweep {text!r}: the values of {name} are whole numbers")
    return name, values
