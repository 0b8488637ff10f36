"""Replaces attributes of other modules for the time of a recording, and puts them back."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

_ABSENT = object()


class Patches:
    """What has been replaced, in order; `undo` restores it backwards."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Sets `owner.name` to `make(the present value)`; does nothing if there is none."""
        if not hasattr(owner, name):
            return
        own = vars(owner).get(name, _ABSENT)
        replacement = make(getattr(owner, name))
        setattr(owner, name, replacement)
        self._undo.append(lambda: _restore(owner, name, own, replacement))

    def define(self, owner: Any, name: str, value: Any) -> None:
        """Sets `owner.name`, whether there is one or not."""
        if not hasattr(owner, name):
            setattr(owner, name, None)
            self._undo.append(lambda: delattr(owner, name))
        self.replace(owner, name, lambda _: value)

    def set_variable(self, name: str, value: str) -> None:
        """Sets a variable of the environment."""
        before = os.environ.get(name)
        os.environ[name] = value
        self._undo.append(lambda: _restore_variable(name, before))

    def on_undo(self, action: Callable[[], None]) -> None:
        """Runs `action` when the patches are undone."""
        self._undo.append(action)

    def undo(self) -> None:
        """Restores everything, the last replacement first."""
        while self._undo:
            self._undo.pop()()


def _restore_variable(name: str, before: str | None) -> None:
    if before is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = before


def _restore(owner: Any, name: str, own: object, replacement: object) -> None:
    if vars(owner).get(name) is not replacement:
        return  # someone replaced it after us: theirs stays, and ours forwards to the original
    if own is _ABSENT:
        delattr(owner, name)
    else:
        setattr(owner, name, own)
