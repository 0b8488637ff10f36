"""Tracebacks as people see them: their own frames, and nobody else's."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import memprof
from memprof.frames import hide_own_frames, hide_runner

OWN = str(Path(memprof.__file__).parent / "record" / "pretended.py")
OPERATOR = "/somewhere/site-packages/torch/_ops.py"
RUNNER = "<frozen runpy>"
THEIRS = "/home/somebody/train.py"


def calling(*files: str, last: Callable[[], object]) -> Callable[[], object]:
    """A function that calls `last` through one function of each file, the first one outermost."""
    call = last
    for file in reversed(files):
        space: dict[str, object] = {"call": call}
        exec(compile("def f(): return call()", file, "exec"), space)
        call = space["f"]  # type: ignore[assignment]
    return call


def fail() -> None:
    raise ValueError("x")


def files_shown(*files: str, last: Callable[[], object] = fail) -> list[str]:
    try:
        calling(*files, last=last)()
    except Exception as error:
        hide_own_frames(error)
        hide_runner(error)
        return [frame.filename for frame in traceback.extract_tb(error.__traceback__)][1:-1]
    raise AssertionError


def test_own_frames_vanish_wherever_they_are() -> None:
    assert files_shown(THEIRS, OWN, OWN, THEIRS, OWN) == [THEIRS, THEIRS]


def test_operators_called_by_memprof_vanish_with_it() -> None:
    assert files_shown(THEIRS, OWN, OPERATOR) == [THEIRS]
    assert files_shown(THEIRS, OPERATOR) == [THEIRS, OPERATOR]


def test_the_runner_vanishes_only_at_the_beginning() -> None:
    space: dict[str, object] = {"call": calling(THEIRS, RUNNER, THEIRS, last=fail)}
    exec(compile("def f(): call()", RUNNER, "exec"), space)
    try:
        space["f"]()  # type: ignore[operator]
    except ValueError as error:
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
        hide_runner(error)
        shown = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    assert shown == [THEIRS, RUNNER, THEIRS, __file__]


def test_causes_and_members_of_groups() -> None:
    def group() -> None:
        try:
            calling(OWN, last=fail)()
        except ValueError as error:
            inner = ExceptionGroup("several", [error])
        raise RuntimeError("outer") from inner

    try:
        calling(OWN, last=group)()
    except RuntimeError as error:
        hide_own_frames(error)
        shown = "".join(traceback.format_exception(error))
    assert "pretended.py" not in shown
    assert "ValueError: x" in shown


def test_a_traceback_of_many_frames() -> None:
    def deeper(depth: int) -> None:
        if not depth:
            fail()
        deeper(depth - 1)

    assert len(files_shown(OWN, THEIRS, last=lambda: deeper(700))) > 700


def test_an_error_without_a_traceback() -> None:
    error = ValueError()
    error.__context__ = error
    hide_own_frames(error)
    hide_runner(error)
    assert error.__traceback__ is None
