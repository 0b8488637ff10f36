"""The pytest plugin: memory ceilings that stand in a test, at no cost where none is asked for.

pytest loads this module in every session. Whatever needs numpy or torch is imported when a test
asks to be measured, and not before.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from memprof.pytest_plugin.options import add_options, any_given

if TYPE_CHECKING:
    from memprof.pytest_plugin.fixture import Memprof
    from memprof.pytest_plugin.reports import Reporting
    from memprof.pytest_plugin.settings import Settings

_SETTINGS = pytest.StashKey["Settings"]()
_BAD_MARKERS = pytest.StashKey[Sequence[str]]()
_MEASURING, _REPORTING = "memprof-measuring", "memprof-reporting"
_SWITCHED_OFF = "MEMPROF=0 is set, so that no test is measured"
_NAMES = frozenset({"memory_ceiling", "memory_matches_estimate", "memory_leak"})
_MARKERS = (
    "memory_ceiling(limit, device='', on='peak', absolute=False, fixtures=True, **categories): "
    "the test holds no more memory than this, as '2 GiB' or activations='1 GiB'",
    "memory_matches_estimate(tolerance='5%', categories=[], device=''): the test's run needs what "
    "analysis says it should",
    "memory_leak(limit='0 B', device=''): the test and its own fixtures leave no more than this",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Adds the markers and, where there are any, checks the options."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    worker = hasattr(config, "workerinput")
    if not worker:
        config.pluginmanager.register(_Listener(config), "memprof-listener")
    if any_given(config):
        _settings(config)
        if not worker:
            _reporting(config)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Says so where nothing is measured that was asked for."""
    settings = config.stash.get(_SETTINGS, None)
    asked = settings is not None and settings.every_test
    return f"memprof: {_SWITCHED_OFF}" if asked and _switched_off() else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Makes ready to measure if any test asks for it."""
    asking = [item for item in items if _asks(item, config.stash.get(_SETTINGS, None))]
    if not asking:
        return
    from memprof.pytest_plugin.markers import checks_of

    settings = _settings(config)
    asked = {item.nodeid: checks_of(item, settings) for item in asking}
    bad = [f"{test}: {checks.error}" for test, checks in asked.items() if checks.error]
    config.stash[_BAD_MARKERS] = bad
    if not config.option.collectonly and not _switched_off():
        _measure(config, settings, asked)


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """Names the tests whose markers mean nothing, before any test runs."""
    return [f"memprof: usage error: {text}" for text in config.stash.get(_BAD_MARKERS, ())]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With --collect-only, too, a marker that means nothing is an error."""
    config = session.config
    if config.option.collectonly and config.stash.get(_BAD_MARKERS, ()) and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: Any) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """A test that held too much has a status of its own."""
    told = getattr(report, "memprof", None)
    if told is None or not told["exceeded"] or not report.failed:
        return None
    return "memory", "M", ("MEMORY", {"red": True})


class _Listener:
    """Waits for the first test that was measured, here or in another process."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keeps what a report says of memory."""
        if hasattr(report, "memprof"):
            _reporting(self._config).keep(report)


@pytest.fixture(name="memprof")
def _memprof(request: pytest.FixtureRequest) -> Memprof:
    """Ceilings for parts of a test: ``with memprof.ceiling("200 MiB", kv_cache="64 MiB"):``."""
    if _switched_off():
        pytest.skip(_SWITCHED_OFF)
    measuring = request.config.pluginmanager.get_plugin(_MEASURING)
    if measuring is None:
        pytest.fail(
            "name memprof among the test's arguments: request.getfixturevalue('memprof') comes "
            "too late to begin measuring",
            pytrace=False,
        )
    made: Memprof = measuring.fixture(request.node)
    return made


def _asks(item: pytest.Item, settings: Settings | None) -> bool:
    """Whether a test is to be measured."""
    if "memprof" in getattr(item, "fixturenames", ()):
        return True
    if settings is not None and (settings.every_test or item.nodeid in settings.known):
        return True
    return any(mark.name in _NAMES for mark in item.iter_markers())


def _settings(config: pytest.Config) -> Settings:
    """The session's settings, read once."""
    from memprof.errors import UsageError
    from memprof.pytest_plugin.settings import read_settings

    if _SETTINGS not in config.stash:
        try:
            config.stash[_SETTINGS] = read_settings(config)
        except UsageError as error:
            raise pytest.UsageError(f"memprof: {error}") from None
    return config.stash[_SETTINGS]


def _reporting(config: pytest.Config) -> Reporting:
    """What tells the results when the session ends."""
    from memprof.pytest_plugin.reports import Reporting

    known = config.pluginmanager.get_plugin(_REPORTING)
    if known is None:
        known = Reporting(_settings(config))
        config.pluginmanager.register(known, _REPORTING)
    assert isinstance(known, Reporting)
    return known


def _measure(config: pytest.Config, settings: Settings, asked: dict[str, Any]) -> None:
    try:
        from memprof.pytest_plugin.measuring import Measuring
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise pytest.UsageError(
            "memprof: measuring a test needs PyTorch: pip install torch"
        ) from None
    config.pluginmanager.register(Measuring(config, settings, asked), _MEASURING)


def _switched_off() -> bool:
    return os.environ.get("MEMPROF") == "0"
