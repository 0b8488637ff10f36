"""Settings of a project: the table ``[tool.memprof]`` in pyproject.toml."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from memprof.errors import UsageError
from memprof.units import parse_bytes

RECORDERS: Final = ("auto", "native", "dispatch")
VARIABLE: Final = "MEMPROF_RECORDER"
DETAILS: Final = ("modules", "ops")
COLORS: Final = ("auto", "always", "never")


@dataclass(frozen=True, slots=True)
class Config:
    """What holds where the command line says nothing.

    Attributes:
        recorder: one of `RECORDERS`; the environment's ``MEMPROF_RECORDER`` counts before it.
        stack_bytes: allocations of at least this many bytes keep their Python stack.
        detail: one of `DETAILS`.
        color: one of `COLORS`.
        pytest: options of the pytest plugin, which checks them.
        nvtx: make NVTX ranges though nothing says that a tool listens.
    """

    recorder: str = "auto"
    stack_bytes: int = 64 << 10
    detail: str = "modules"
    color: str = "auto"
    pytest: Mapping[str, Any] = field(default_factory=dict)
    nvtx: bool = False


def read_config(folder: Path | None = None) -> Config:
    """Reads the settings in `folder`, by default the working directory.

    Raises:
        UsageError: if the table has a key or a value that means nothing.
    """
    config = _read(folder or Path())
    recorder = os.environ.get(VARIABLE)
    if not recorder:
        return config
    try:
        return replace(config, recorder=checked_recorder(recorder))
    except UsageError as error:
        raise UsageError(f"{VARIABLE}: {error}") from None


def _read(folder: Path) -> Config:
    path = folder / "pyproject.toml"
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError:
        return Config()
    except ValueError as error:
        raise UsageError(f"{path}: not TOML: {error}") from None
    table = document.get("tool", {}).get("memprof", {})
    try:
        return Config(**_checked(table))
    except UsageError as error:
        raise UsageError(f"{path}: [tool.memprof]: {error}") from None


def checked_recorder(recorder: str) -> str:
    """Returns `recorder` if there is such a recorder; raises UsageError otherwise."""
    return _one_of("recorder", recorder, RECORDERS)


def checked_detail(detail: str) -> str:
    """Returns `detail` if there is such a level; raises UsageError otherwise."""
    return _one_of("detail", detail, DETAILS)


def _checked(table: object) -> dict[str, Any]:
    if not isinstance(table, Mapping):
        raise UsageError("is not a table")
    known = [each.name for each in fields(Config)]
    for key in table.keys() - set(known):
        close = get_close_matches(key, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"it may have {', '.join(known)}"
        raise UsageError(f"unknown key {key!r}; {hint}")
    settings = dict(table)
    if "recorder" in settings:
        checked_recorder(settings["recorder"])
    if "detail" in settings:
        checked_detail(settings["detail"])
    if "color" in settings:
        _one_of("color", settings["color"], COLORS)
    if not isinstance(settings.get("pytest", {}), Mapping):
        raise UsageError("pytest: is not a table; write [tool.memprof.pytest]")
    if "stack_bytes" in settings:
        settings["stack_bytes"] = _size(settings["stack_bytes"])
    if not isinstance(settings.get("nvtx", False), bool):
        raise UsageError(f"nvtx {settings['nvtx']!r} is neither true nor false")
    return settings


def _one_of(what: str, value: object, choices: tuple[str, ...]) -> str:
    if isinstance(value, str) and value in choices:
        return value
    raise UsageError(f"{what} {value!r} is unknown: choose one of {', '.join(choices)}")


def _size(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise UsageError(f"stack_bytes {value!r} is not a size: write it like '64 KiB' or 65536")
    return parse_bytes(value)
