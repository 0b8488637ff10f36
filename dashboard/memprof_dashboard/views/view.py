"""What a view is, and how one leads to a moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from dash import html

from memprof_dashboard.state import Shown

#: The view that is open at first: the chosen moment and its tensors, always in the page.
MOMENT = "moment"


class View(NamedTuple):
    """One view.

    Attributes:
        key: its name in addresses.
        title: what its button says.
        panel: makes it of what is open and the number of the chosen subject.
        things: how many things it has to tell, as far as they are counted.
        offered: whether its button is shown for what is open.
        at: the same at an event, of a view that changes with the moment; else None.
        in_files: whether it makes sense where nobody can press anything.
    """

    key: str
    title: str
    panel: Callable[[Shown, int], Any]
    things: Callable[[Shown, int], int] = lambda _shown, _number: 0
    offered: Callable[[Shown, int], bool] = lambda _shown, _number: True
    in_files: bool = True
    at: Callable[[Shown, int, int], Any] | None = None


def jump(text: str, number: int, event: int, words: str = "") -> html.Button:
    """A button that goes to a moment and lists the tensors that `words` filter."""
    key = f"{number}|{event}|{words}"
    return html.Button(text, id={"kind": "jump", "key": key}, className="action")


def read_jump(key: str) -> tuple[int, int, str]:
    """Subject, event and words of a button's key."""
    number, event, words = key.split("|", 2)
    return int(number), int(event), words


def card(title: str, note: str, *parts: Any) -> html.Section:
    """A part of a view with its heading and a word on what it shows."""
    head = html.Div([html.H2(title), html.Span(note, className="quiet")], className="card-head")
    return html.Section([head, *parts], className="card")


def nothing(title: str, *lines: str) -> html.Section:
    """Says that a view has nothing to show, and why."""
    return html.Section([html.H2(title), *map(html.P, lines)], className="card empty")
