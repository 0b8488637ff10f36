"""What is asked of a test's memory: ceilings, agreement with analysis, nothing left behind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches

from memprof.errors import UsageError
from memprof.units import format_bytes, parse_bytes

PEAK, END = "peak", "end"
_DEVICE = re.compile(r"cpu|[a-z]+(:[0-9]+)?")
_PERCENT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a figure may be from another: the larger of a share of that and of some bytes."""

    percent: float = 0.0
    bytes: int = 0

    def of(self, nbytes: int) -> int:
        """Bytes by which a figure may differ from `nbytes`."""
        return max(int(nbytes * self.percent / 100), self.bytes)

    def __str__(self) -> str:
        parts = [f"{self.percent:g} %"] if self.percent else []
        parts += [format_bytes(self.bytes)] if self.bytes or not parts else []
        return " or ".join(parts)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The most that a test may hold.

    Attributes:
        limit: bytes; None takes away a ceiling set farther from the test.
        category: "" for all together.
        device: such as "cuda:0", or "cuda" for each of that kind; "" for those the test used.
        on: `PEAK` or `END`.
        absolute: count what was held before the test, too.
        fixtures: count what the test's own fixtures hold.
    """

    limit: int | None
    category: str = ""
    device: str = ""
    on: str = PEAK
    absolute: bool = False
    fixtures: bool = True

    @property
    def key(self) -> tuple[object, ...]:
        """What it limits: of two ceilings with one key the closer to the test holds."""
        return self.category, self.device, self.on, self.absolute


@dataclass(frozen=True, slots=True)
class MatchesEstimate:
    """The test's run needs what analysis says; no `categories` means all that are estimated."""

    tolerance: Tolerance = field(default=Tolerance(percent=5.0))
    categories: tuple[str, ...] = ()
    device: str = ""


@dataclass(frozen=True, slots=True)
class Leak:
    """What a test and its own fixtures may leave behind, in bytes."""

    limit: int = 0
    device: str = ""


@dataclass(frozen=True, slots=True)
class Checks:
    """All that is asked of one test.

    Attributes:
        error: why one of its markers means nothing; "" where all do.
    """

    ceilings: tuple[Ceiling, ...] = ()
    estimates: tuple[MatchesEstimate, ...] = ()
    leaks: tuple[Leak, ...] = ()
    error: str = ""

    def __bool__(self) -> bool:
        return bool(self.ceilings or self.estimates or self.leaks or self.error)

    def devices(self) -> Iterator[str]:
        """The devices named in any of them."""
        checks: list[Ceiling | MatchesEstimate | Leak]
        checks = [*self.ceilings, *self.estimates, *self.leaks]
        yield from dict.fromkeys(check.device for check in checks if check.device)


def tolerance(value: object) -> Tolerance:
    """Reads ``5%`` or a size. Raises UsageError if it is neither."""
    if isinstance(value, str) and (match := _PERCENT.fullmatch(value)):
        return Tolerance(percent=float(match[1]))
    if isinstance(value, str) and "%" in value:
        raise UsageError(f"{value!r} is not a tolerance: write it like '5%' or '64 KiB'")
    return Tolerance(bytes=size(value))


def size(value: object) -> int:
    """Reads a size of at least 0 bytes. Raises UsageError if it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise UsageError(f"{value!r} is not a size: write it like '2 GiB' or as a number of bytes")
    nbytes = parse_bytes(value)
    if nbytes < 0:
        raise UsageError(f"{value!r} is less than nothing: write a size like '2 GiB'")
    return nbytes


def checked_category(name: object) -> str:
    """Returns `name` if there is such a category; raises UsageError otherwise."""
    from memprof.trace.schema import CATEGORIES

    if isinstance(name, str) and name in CATEGORIES:
        return name
    close = get_close_matches(str(name), CATEGORIES, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(CATEGORIES)}"
    raise UsageError(f"{name!r} is no option and no category; {hint}")


def checked_device(name: object) -> str:
    """Returns `name` if it can be a device; raises UsageError otherwise."""
    if isinstance(name, str) and (not name or _DEVICE.fullmatch(name)):
        return name
    raise UsageError(f"device {name!r} is none: write it like 'cpu', 'cuda' or 'cuda:0'")
