"""What the options say: command line, pytest's ini files, ``[tool.memprof.pytest]``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from memprof.config import read_config
from memprof.errors import UsageError
from memprof.pytest_plugin.baseline import read_baseline
from memprof.pytest_plugin.checks import Tolerance, checked_device, size, tolerance
from memprof.pytest_plugin.options import OPTIONS, Option


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for the whole session; the attributes are the options of `OPTIONS`.

    Attributes:
        known: the tests that the baseline has figures of.
    """

    all: bool
    top: int
    ceiling: int | None
    device: str
    fixtures: bool
    absolute: bool
    trace_dir: Path | None
    json: Path | None
    baseline: Path | None
    update_baseline: bool
    tolerance: Tolerance
    known: frozenset[str] = frozenset()

    @property
    def every_test(self) -> bool:
        """Whether tests are measured that do not ask for it."""
        return self.all or self.ceiling is not None


def _boolean(value: Any) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    text = str(value).lower()
    if text not in words:
        raise UsageError(f"{value!r} is neither true nor false")
    return words[text]


def _count(value: Any) -> int:
    if isinstance(value, bool) or not str(value).isdecimal():
        raise UsageError(f"{value!r} is not a number of tests")
    return int(value)


def _size(value: Any) -> int:
    return size(int(value) if str(value).isdecimal() else value)


def _device(value: Any) -> str:
    return checked_device(value)


def _path(value: Any) -> Path:
    if not isinstance(value, str) or not value:
        raise UsageError(f"{value!r} is not a path")
    return Path(value)


def _tolerance(value: Any) -> Tolerance:
    if not isinstance(value, str):
        return tolerance(value)
    read = [tolerance(part) for part in value.split(",")]
    return Tolerance(max(each.percent for each in read), max(each.bytes for each in read))


#: How each option is read, and what it is where nobody says anything.
_MEANING: Final[dict[str, tuple[Callable[[Any], Any], Any]]] = {
    "all": (_boolean, False),
    "top": (_count, 10),
    "ceiling": (_size, None),
    "device": (_device, ""),
    "fixtures": (_boolean, True),
    "absolute": (_boolean, False),
    "trace_dir": (_path, None),
    "json": (_path, None),
    "baseline": (_path, None),
    "update_baseline": (_boolean, False),
    "tolerance": (_tolerance, Tolerance(1.0, 512)),
}


def read_settings(config: pytest.Config) -> Settings:
    """Puts the options together: the command line counts first, then pytest's, then our table.

    Raises:
        UsageError: if a value means nothing; the message names where it stands.
    """
    table = _table(config.rootpath)
    values = {option.name: _value(option, config, table) for option in OPTIONS}
    settings = Settings(**values)
    if settings.baseline is not None:
        missing = settings.update_baseline
        known = read_baseline(settings.baseline, may_be_missing=missing).tests
        return replace(settings, known=known)
    if settings.update_baseline:
        raise UsageError(
            "--memprof-update-baseline: which file? name it with --memprof-baseline FILE"
        )
    return settings


def _value(option: Option, config: pytest.Config, table: Mapping[str, Any]) -> Any:
    given = config.getoption(option.destination, None)
    if given is not None:
        return _read(option, given, Path(config.invocation_params.dir), option.flag)
    stands = config.getini(option.ini)
    if stands is not None:
        where = f"{config.inipath or 'ini'}: {option.ini}"
        return _read(option, stands, config.rootpath, where)
    if option.name in table:
        where = f"{config.rootpath / 'pyproject.toml'}: [tool.memprof.pytest] {option.name}"
        return _read(option, table[option.name], config.rootpath, where)
    return _MEANING[option.name][1]


def _read(option: Option, written: Any, folder: Path, where: str) -> Any:
    try:
        value = _MEANING[option.name][0](written)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
    return folder / value if isinstance(value, Path) else value


def _table(folder: Path) -> Mapping[str, Any]:
    """The table ``[tool.memprof.pytest]``."""
    table = read_config(folder).pytest
    known = [option.name for option in OPTIONS]
    for key in sorted(table.keys() - set(known)):
        raise UsageError(
            f"{folder / 'pyproject.toml'}: [tool.memprof.pytest]: unknown key {key!r}; "
            f"it may have {', '.join(known)}"
        )
    return table
