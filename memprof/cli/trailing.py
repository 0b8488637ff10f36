"""Options of memprof's own that stand behind the program, among the program's arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def trailing_options(
    arguments: Iterable[str], valued: Mapping[str, bool], flags: Mapping[str, bool]
) -> tuple[dict[str, str], list[str]]:
    """Takes memprof's options out of a program's arguments.

    What was said before the program is memprof's, so the same option after it is the program's;
    so is everything after ``--``.

    Args:
        arguments: what stands after the program.
        valued: options with a value, and whether each is still looked for.
        flags: options without one, likewise.

    Returns:
        the options found, and the arguments that are left.
    """
    found: dict[str, str] = {}
    left: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        name, equals, value = argument.partition("=")
        if argument == "--":
            return found, [*left, *waiting]
        if valued.get(name) and name not in found:
            found[name] = value if equals else next(waiting, "")
        elif flags.get(argument):
            found[argument] = ""
        else:
            left.append(argument)
    return found, left
