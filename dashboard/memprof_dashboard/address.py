"""The page's address: which device, which moment and which window a link shows again."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode


@dataclass(frozen=True, slots=True)
class Address:
    """What an address says; whatever it leaves out or gets wrong is None.

    Attributes:
        tab: number of the device's tab.
        event: number of the event whose moment is shown.
        begin, end: of the window, in seconds since the trace began.
    """

    tab: int | None = None
    event: int | None = None
    begin: float | None = None
    end: float | None = None

    @property
    def window(self) -> tuple[float, float] | None:
        """The window, if it is one."""
        if self.begin is None or self.end is None or not self.begin < self.end:
            return None
        return self.begin, self.end


def read_address(search: str | None) -> Address:
    """Reads the part of an address from its question mark on."""
    known = {key: values[0] for key, values in parse_qs((search or "").lstrip("?")).items()}
    return Address(
        tab=_whole(known.get("tab")),
        event=_whole(known.get("event")),
        begin=_number(known.get("from")),
        end=_number(known.get("to")),
    )


def write_address(tab: int, event: int, window: tuple[float, float] | None) -> str:
    """Writes what `read_address` reads."""
    known = {"tab": str(tab)} if tab else {}
    known["event"] = str(event)
    if window is not None:
        known |= {"from": f"{window[0]:.9g}", "to": f"{window[1]:.9g}"}
    return f"?{urlencode(known)}"


def _whole(text: str | None) -> int | None:
    number = _number(text)
    return int(number) if number is not None and number == int(number) else None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if abs(number) < 1e15 else None
