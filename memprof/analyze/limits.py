"""Limits on what may grow between two traces, such as ``+5%`` or ``activations=+64 MiB``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from memprof.analyze.diff import Change, DeviceDiff
from memprof.errors import UsageError
from memprof.trace import CATEGORIES
from memprof.units import format_bytes, parse_bytes

TOTAL = "total"
_LIMIT = re.compile(r"(?:\s*(\w+)\s*=)?\s*\+?\s*([0-9.]+\s*%|[0-9.]+\s*[A-Za-z]*)\s*")


@dataclass(frozen=True, slots=True)
class Limit:
    """How much something may grow.

    Attributes:
        text: as it was written.
        what: `TOTAL`, a category, or "" for the total and every category.
        percent, bytes: one of them is None.
    """

    text: str
    what: str
    percent: float | None
    bytes: int | None

    def exceeded_by(self, change: Change) -> bool:
        """Whether a change is more growth than this."""
        if self.bytes is not None:
            return change.growth > self.bytes
        assert self.percent is not None
        return change.growth > change.before * self.percent / 100


@dataclass(frozen=True, slots=True)
class Excess:
    """A limit that was exceeded, and by what: `TOTAL` or a category."""

    limit: Limit
    device: str
    what: str
    change: Change

    def sentence(self) -> str:
        """What grew, from what to what, and what was allowed."""
        change = self.change
        percent = "" if change.percent is None else f", {change.percent:+.1f} %"
        return (
            f"{'the peak' if self.what == TOTAL else self.what} grew from "
            f"{format_bytes(change.before)} to {format_bytes(change.after)} on {self.device} "
            f"({format_bytes(change.growth, sign=True)}{percent}), limit {self.limit.text}"
        )


def parse_limit(text: str) -> Limit:
    """Reads a limit.

    Raises:
        UsageError: if it is none.
    """
    match = _LIMIT.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{text!r} is no limit: write it like '+5%', '+64 MiB' or 'activations=+5%'"
        )
    what, amount = match[1] or "", match[2]
    if what not in ("", TOTAL, *CATEGORIES):
        raise UsageError(f"{text!r}: {what!r} is neither {TOTAL!r} nor a category")
    if not amount.endswith("%"):
        return Limit(text, what, None, parse_bytes(amount))
    try:
        return Limit(text, what, float(amount.removesuffix("%")), None)
    except ValueError:
        raise UsageError(f"{text!r}: {amount!r} is no percentage") from None


def exceeded(devices: Iterable[DeviceDiff], limits: Iterable[Limit]) -> list[Excess]:
    """Finds all that grew beyond a limit, in the order of devices and categories."""
    known = list(limits)
    return [
        Excess(limit, device.device, what, change)
        for device in devices
        for what, change in _figures(device)
        for limit in known
        if limit.what in ("", what) and limit.exceeded_by(change)
    ]


def _figures(device: DeviceDiff) -> Iterator[tuple[str, Change]]:
    yield TOTAL, device.peak
    for row in device.categories:
        yield row.category, row.highest
