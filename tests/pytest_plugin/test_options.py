"""Every option, in every place where it may stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from memprof.pytest_plugin import _settings
from memprof.pytest_plugin.checks import Tolerance
from memprof.pytest_plugin.options import OPTIONS

#: What may be written, and what it means; a folder is put in front of paths.
EXAMPLES: dict[str, tuple[str, Any]] = {
    "all": ("true", True),
    "top": ("3", 3),
    "ceiling": ("2 GiB", 2 << 30),
    "device": ("cuda:0", "cuda:0"),
    "fixtures": ("false", False),
    "absolute": ("true", True),
    "trace_dir": ("traces", Path("traces")),
    "json": ("memory.json", Path("memory.json")),
    "baseline": ("memory.lock", Path("memory.lock")),
    "update_baseline": ("true", True),
    "tolerance": ("2%, 64 KiB", Tolerance(2.0, 64 << 10)),
}
NAMES = [option.name for option in OPTIONS]


def value(pytester: pytest.Pytester, name: str, *arguments: str) -> Any:
    plugins = ("-p", "no:dash", "-p", "no:asyncio", "-p", "no:rerunfailures")
    config = pytester.parseconfigure(*plugins, *arguments)
    return getattr(_settings(config), name)


def expected(pytester: pytest.Pytester, name: str) -> Any:
    meant = EXAMPLES[name][1]
    return pytester.path / meant if isinstance(meant, Path) else meant


def prepare(pytester: pytest.Pytester, name: str) -> str:
    """Writes what an option needs around it, and returns what to write for it."""
    (pytester.path / "memory.lock").write_text('{"schema": 1, "environments": {}}')
    return EXAMPLES[name][0]


def also(name: str, form: str) -> str:
    return form.format("baseline", "memory.lock") if name == "update_baseline" else ""


def test_examples_are_no_defaults(pytester: pytest.Pytester) -> None:
    assert list(EXAMPLES) == NAMES
    settings = _settings(pytester.parseconfigure("-p", "no:dash", "-p", "no:asyncio"))
    for name in NAMES:
        assert getattr(settings, name) != EXAMPLES[name][1]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("file", ["pytest.ini", "setup.cfg", "pyproject.toml"])
def test_in_files_of_pytest(pytester: pytest.Pytester, file: str, name: str) -> None:
    text = prepare(pytester, name)
    ini = "memprof" if name == "all" else f"memprof_{name}"
    table = "tool.pytest.ini_options" if file == "pyproject.toml" else "pytest"
    table = "tool:pytest" if file == "setup.cfg" else table
    quote = '"' if file == "pyproject.toml" else ""
    more = also(name, f"memprof_{{}} = {quote}{{}}{quote}")
    (pytester.path / file).write_text(f"[{table}]\n{ini} = {quote}{text}{quote}\n{more}\n")
    assert value(pytester, name) == expected(pytester, name)


@pytest.mark.parametrize("name", NAMES)
def test_in_the_table_of_memprof(pytester: pytest.Pytester, name: str) -> None:
    text = prepare(pytester, name)
    written = text if text in ("true", "false", "3") else f'"{text}"'
    more = also(name, '{} = "{}"')
    (pytester.path / "pyproject.toml").write_text(
        f"[tool.memprof.pytest]\n{name} = {written}\n{more}\n"
    )
    assert value(pytester, name) == expected(pytester, name)


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.flag], ids=lambda o: str(o.flag))
def test_on_the_command_line(pytester: pytest.Pytester, option: Any) -> None:
    text = prepare(pytester, option.name)
    (pytester.path / "pytest.ini").write_text(f"[pytest]\n{option.ini} =\n")
    words = [option.flag, text] if option.metavar else [option.flag]
    if option.name == "update_baseline":
        words += ["--memprof-baseline", "memory.lock"]
    (pytester.path / "pytest.ini").write_text("[pytest]\n")
    assert value(pytester, option.name, *words) == expected(pytester, option.name)


def test_what_counts_first(pytester: pytest.Pytester) -> None:
    (pytester.path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\nmemprof_top = "2"\n[tool.memprof.pytest]\ntop = 1\njson = "a"\n'
    )
    assert value(pytester, "top", "--memprof-top", "3") == 3
    assert value(pytester, "top") == 2
    assert value(pytester, "json") == pytester.path / "a"
