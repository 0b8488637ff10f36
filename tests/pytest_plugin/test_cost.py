"""What the plugin costs where nobody asks for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

START_UP_MS = 5.0
STARTED = """
import sys, time
import pytest, _pytest.config

config = _pytest.config.get_config(["-p", "no:memprof", "-p", "no:dash"], [])
parser = config._parser
known = set(sys.modules)
begin = time.process_time()
import memprof.pytest_plugin as plugin
plugin.pytest_addoption(parser)
spent = time.process_time() - begin
print(spent * 1000, *sorted(set(sys.modules) - known))
"""


def started() -> tuple[float, set[str]]:
    """Milliseconds of processor time that loading the plugin takes, and what it imports."""
    answer = subprocess.run(
        [sys.executable, "-c", STARTED], check=True, capture_output=True, text=True
    )
    spent, *modules = answer.stdout.split()
    return float(spent), set(modules)


def test_start_up() -> None:
    runs = [started() for _ in range(3)]
    assert min(spent for spent, _ in runs) < START_UP_MS
    for _, modules in runs:
        assert modules == {"memprof", "memprof.pytest_plugin", "memprof.pytest_plugin.options"}


def test_a_suite_that_does_not_ask(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import sys

def test_nothing_was_imported(request):
    loaded = {name for name in sys.modules if name.startswith("memprof")}
    assert loaded == {"memprof", "memprof.pytest_plugin", "memprof.pytest_plugin.options"}
    assert not {"torch", "numpy", "rich", "typer"} & set(sys.modules)
    plugins = request.config.pluginmanager
    assert plugins.get_plugin("memprof-measuring") is None
    assert plugins.get_plugin("memprof-reporting") is None
"""
    )
    plugins = ("-p", "no:dash", "-p", "no:hypothesispytest", "-p", "no:asyncio", "-p", "no:anyio")
    result = pytester.runpytest_subprocess(*plugins)
    result.assert_outcomes(passed=1)
    assert "memprof" not in result.stdout.str().partition("collected")[2]
