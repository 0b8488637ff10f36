"""The names of every option; what they mean is in `settings`, read only where one is given."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

import pytest


class Option(NamedTuple):
    """One option.

    Attributes:
        name: in ``[tool.memprof.pytest]``; with ``memprof_`` in front in pytest's ini files.
        type: what pytest makes of it in an ini file.
        help: what it does.
        flag: on the command line; "" for none.
        metavar: what follows the flag; "" for a flag alone.
    """

    name: str
    type: Literal["bool", "int", "string"]
    help: str
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


OPTIONS: Final = (
    Option("all", "bool", "report the memory of every test", "--memprof"),
    Option("top", "int", "how many tests the report lists (10)", "--memprof-top", "N"),
    Option("ceiling", "string", "ceiling of every test that has none", "--memprof-ceiling", "SIZE"),
    Option("device", "string", "device of the ceilings that name none, as 'cuda:0'"),
    Option("fixtures", "bool", "count what a test's own fixtures hold (true)"),
    Option("absolute", "bool", "count what was held before the test (false)"),
    Option(
        "trace_dir",
        "string",
        "keep the trace of each test that failed in DIR",
        "--memprof-trace-dir",
        "DIR",
    ),
    Option("json", "string", "write all figures and verdicts to FILE", "--memprof-json", "FILE"),
    Option(
        "baseline",
        "string",
        "compare every test that FILE has figures of",
        "--memprof-baseline",
        "FILE",
    ),
    Option(
        "update_baseline",
        "bool",
        "write this run's figures into the baseline",
        "--memprof-update-baseline",
    ),
    Option(
        "tolerance",
        "string",
        "growth over the baseline that is allowed, as '2%' or '2%, 64 KiB' (1%, 512 B)",
    ),
)


def add_options(parser: pytest.Parser) -> None:
    """Makes the options known to pytest."""
    group = parser.getgroup("memprof", "memory, measured by memprof")
    for option in OPTIONS:
        parser.addini(option.ini, option.help, type=option.type, default=None)
        if option.flag:
            more: dict[str, Any] = {"action": "store_true", "default": None}
            if option.metavar:
                more = {"metavar": option.metavar}
            group.addoption(option.flag, dest=option.destination, help=option.help, **more)


def any_given(config: pytest.Config) -> bool:
    """Whether an option is set anywhere, or may be; imports nothing to find out."""
    if any(
        config.getoption(option.destination, None) is not None
        or config.getini(option.ini) is not None
        for option in OPTIONS
    ):
        return True
    try:
        return b"memprof" in (config.rootpath / "pyproject.toml").read_bytes()
    except OSError:
        return False
