"""Every option, wherever it is set: command line, pytest's ini files, ``[tool.memprof.pytest]``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from memprof.errors import UsageError
from memprof.pytest_plugin.baseline import read_baseline
from memprof.pytest_plugin.checks import Tolerance, checked_device, size, tolerance


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        name: in ``[tool.memprof.pytest]``; with ``memprof_`` in front in pytest's ini files.
        help: what it does.
        read: makes its value of what was written.
        default: its value where nobody says anything.
        flag: on the command line; "" for none.
        metavar: what follows the flag; "" for a flag alone.
    """

    name: str
    help: str
    read: Callable[[Any], Any]
    default: Any
    flag: str = ""
    metavar: str = ""

    @property
    def ini(self) -> str:
        """Its name in pytest's ini files."""
        return "memprof" if self.name == "all" else f"memprof_{self.name}"

    @property
    def destination(self) -> str:
        """Its name among pytest's command line options."""
        return f"memprof_option_{self.name}"


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


OPTIONS: Final = (
    Option("all", "report the memory of every test", _boolean, False, "--memprof"),
    Option("top", "how many tests the report lists (10)", _count, 10, "--memprof-top", "N"),
    Option("ceiling", "ceiling of every test that has none", _size, None),
    Option("device", "device that ceilings without one are for", _device, ""),
    Option("fixtures", "count what a test's own fixtures hold (true)", _boolean, True),
    Option("absolute", "count what was held before the test (false)", _boolean, False),
    Option(
        "trace_dir",
        "keep the trace of each test that failed in DIR",
        _path,
        None,
        "--memprof-trace-dir",
        "DIR",
    ),
    Option("json", "write all figures and verdicts to FILE", _path, None, "--memprof-json", "FILE"),
    Option(
        "baseline",
        "compare every test that FILE has figures of",
        _path,
        None,
        "--memprof-baseline",
        "FILE",
    ),
    Option(
        "update_baseline",
        "write this run's figures into the baseline",
        _boolean,
        False,
        "--memprof-update-baseline",
    ),
    Option(
        "tolerance",
        "growth over the baseline that is allowed, as '2%' or '2%, 64 KiB' (1%, 512 B)",
        _tolerance,
        Tolerance(1.0, 512),
    ),
)


_INI_TYPES: Final[Mapping[Any, Any]] = {_boolean: "bool", _count: "int"}


def add_options(parser: pytest.Parser) -> None:
    """Makes the options known to pytest."""
    group = parser.getgroup("memprof", "memory, measured by memprof")
    for option in OPTIONS:
        parser.addini(
            option.ini, option.help, type=_INI_TYPES.get(option.read, "string"), default=None
        )
        if option.metavar:
            group.addoption(
                option.flag, dest=option.destination, metavar=option.metavar, help=option.help
            )
        elif option.flag:
            group.addoption(
                option.flag,
                dest=option.destination,
                action="store_true",
                default=None,
                help=option.help,
            )


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
    return option.default


def _read(option: Option, written: Any, folder: Path, where: str) -> Any:
    try:
        value = option.read(written)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
    return folder / value if isinstance(value, Path) else value


def _table(folder: Path) -> Mapping[str, Any]:
    """``[tool.memprof.pytest]``; the file is parsed only where it can have one."""
    path = folder / "pyproject.toml"
    try:
        if b"memprof" not in path.read_bytes():
            return {}
    except OSError:
        return {}
    from memprof.config import read_config

    table = read_config(folder).pytest
    unknown = sorted(table.keys() - {option.name for option in OPTIONS})
    if unknown:
        known = ", ".join(option.name for option in OPTIONS)
        raise UsageError(
            f"{path}: [tool.memprof.pytest]: unknown key {unknown[0]!r}; it may have {known}"
        )
    return table
