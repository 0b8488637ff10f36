"""The page's address: which device, which moment and which window a link shows again."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode


@dataclass(frozen=True, slots=True)
class Address:
    """What an address says; whatever it leaves out or gets wrong is None or empty.

    Attributes:
        tab: number of the device's tab.
        event: number of the event whose moment is shown.
        begin, end: of the window, in seconds since the trace began.
        view: name of the view under the timeline.
        words: what the live tensors are filtered by.
        hidden: layers of the timeline that are switched off; None for those that are so at first.
        mode: how the timeline is drawn.
        tensor: index of the allocation that is opened.
    """

    tab: int | None = None
    event: int | None = None
    begin: float | None = None
    end: float | None = None
    view: str | None = None
    words: str | None = None
    hidden: tuple[str, ...] | None = None
    mode: str | None = None
    tensor: int | None = None

    @property
    def window(self) -> tuple[float, float] | None:
        """The window, if it is one."""
        if self.begin is None or self.end is None or not self.begin < self.end:
            return None
        return self.begin, self.end


def read_address(search: str | None) -> Address:
    """Reads the part of an address from its question mark on."""
    parts = parse_qs((search or "").lstrip("?"), keep_blank_values=True)
    known = {key: values[0] for key, values in parts.items()}
    hidden = known.get("hide")
    return Address(
        tab=_whole(known.get("tab")),
        event=_whole(known.get("event")),
        begin=_number(known.get("from")),
        end=_number(known.get("to")),
        view=known.get("view"),
        words=known.get("filter"),
        hidden=None if hidden is None else tuple(filter(None, hidden.split("|"))),
        mode=known.get("mode"),
        tensor=_whole(known.get("tensor")),
    )


def write_address(said: Address) -> str:
    """Writes what `read_address` reads, without what is empty."""
    window = said.window
    known = {
        "tab": str(said.tab) if said.tab else None,
        "event": None if said.event is None else str(said.event),
        "from": window and f"{window[0]:.9g}",
        "to": window and f"{window[1]:.9g}",
        "view": said.view,
        "filter": said.words or None,
        "hide": None if said.hidden is None else "|".join(said.hidden),
        "mode": said.mode,
        "tensor": None if said.tensor is None else str(said.tensor),
    }
    return "?" + urlencode({key: value for key, value in known.items() if value is not None})


def _whole(text: str | None) -> int | None:
    number = _number(text)
    return int(number) if number is not None and number == int(number) else None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if abs(number) < 1e15 else None
