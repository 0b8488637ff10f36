"""An interrupt that comes while memprof's own callback runs still reaches the program."""

from __future__ import annotations

import sys
import time
import weakref

import pytest

from memprof.record import interrupts
from memprof.record.patches import Patches


class Target:
    pass


def interrupted(module: str) -> None:
    """Lets an object die whose callback, of the given module, is interrupted."""

    def callback(_: object) -> None:
        raise KeyboardInterrupt

    callback.__module__ = module
    target = Target()
    reference = weakref.ref(target, callback)
    del target
    assert reference() is None
    time.sleep(0.2)


def test_interrupt_in_a_callback_of_memprof_is_raised_again() -> None:
    patches = Patches()
    interrupts.install(patches)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted("memprof.record.storages")
    finally:
        patches.undo()


def test_other_callbacks_are_left_to_python(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda u: seen.append(u.exc_type.__name__))
    patches = Patches()
    interrupts.install(patches)
    interrupted("somebody.else")
    patches.undo()
    assert seen == ["KeyboardInterrupt"]
