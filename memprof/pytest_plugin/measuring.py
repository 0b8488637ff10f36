"""The hooks around a test that is measured; registered only where one is."""

from __future__ import annotations

import hashlib
import re
import tempfile
import traceback
from collections.abc import Generator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from _pytest.outcomes import Failed

from memprof.config import read_config
from memprof.errors import MemprofError, UsageError
from memprof.pytest_plugin.attempt import Attempt
from memprof.pytest_plugin.baseline import read_baseline
from memprof.pytest_plugin.checks import Checks
from memprof.pytest_plugin.fixture import Memprof
from memprof.pytest_plugin.markers import make_ceilings, parameters_of
from memprof.pytest_plugin.recording import Recording
from memprof.pytest_plugin.reports import verdict_text
from memprof.pytest_plugin.result import MemoryExceeded, Result
from memprof.pytest_plugin.settings import Settings
from memprof.pytest_plugin.verdicts import as_data
from memprof.record.settle import why_missing

RESULT: Final = pytest.StashKey[Result]()
_LONGEST: Final = 100


class NotMeasured(Failed):
    """A test asks for something that means nothing, or that cannot be done here."""

    __module__ = "builtins"  # as pytest's own outcomes: people see the name alone

    def __init__(self, text: str) -> None:
        super().__init__(text, pytrace=False)


class Measuring:
    """Measures the tests that ask for it, one at a time."""

    def __init__(
        self, config: pytest.Config, settings: Settings, asked: Mapping[str, Checks]
    ) -> None:
        self._settings, self._asked = settings, asked
        self._config = read_config(config.rootpath)
        self._folder = settings.trace_dir or _default_folder(config)
        self._baseline = None
        if settings.baseline is not None and not settings.update_baseline:
            self._baseline = read_baseline(settings.baseline)
        self._attempt: Attempt | None = None

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Begins to record before the test's fixtures are made, and after skips are decided."""
        checks = self._asked.get(item.nodeid)
        self._attempt = None if checks is None else self._begun(item, checks)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        """What a fixture of a wider scope allocates is no test's own."""
        value = yield
        if self._attempt is not None and fixturedef.scope != "function":
            self._attempt.recording.shared_fixture_made()
        return value

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        """Judges a test when it has run, whether it passed or not."""
        attempt = self._attempt
        if attempt is None:
            return (yield)
        attempt.recording.body_begins()
        try:
            value = yield
        except pytest.skip.Exception:
            raise
        except (Exception, Failed) as error:
            self._judged(attempt, error)
            raise
        self._judged(attempt, None)
        return value

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, object]:
        """Looks, once a test's fixtures are gone, at what it left; keeps or drops the trace."""
        attempt, self._attempt = self._attempt, None
        if attempt is None:
            return (yield)
        try:
            value = yield
            if attempt.checks.leaks:
                _forget_fixtures(attempt.item)
            attempt.torn_down()
        finally:
            attempt.close()
        return value

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, Any, Any]:
        """Hands the result to the report, which may travel to another process."""
        if call.when == "setup" and call.excinfo is not None:
            self._setup_failed(call.excinfo.value)
        report = yield
        result = item.stash.get(RESULT, None)
        if result is None or (report.when == "setup" and not report.failed):
            return report
        exceeded = call.excinfo is not None and isinstance(call.excinfo.value, MemoryExceeded)
        report.memprof = {**result.document(), "exceeded": exceeded and report.failed}
        if exceeded and call.excinfo is not None and not item.config.getoption("usepdb", False):
            traceback.clear_frames(call.excinfo.tb)  # nobody sees it, and it holds tensors
        if report.failed and not exceeded and result.verdicts:
            text = verdict_text(map(as_data, result.verdicts), result.trace)
            report.sections.append(("memory", text))
        return report

    def fixture(self, item: pytest.Item) -> Memprof:
        """What the ``memprof`` fixture gives a test."""
        attempt = self._attempt
        if attempt is None or attempt.item is not item:
            raise NotMeasured(
                f"{item.nodeid}: name memprof among the test's arguments: measuring begins before "
                "its fixtures, and request.getfixturevalue('memprof') comes too late"
            )
        make = partial(make_ceilings, self._settings, parameters_of(item))
        return Memprof(attempt.recording, make, attempt.conclude)

    def _begun(self, item: pytest.Item, checks: Checks) -> Attempt | None:
        item.stash[RESULT] = result = Result(item.nodeid)
        if checks.error:
            raise NotMeasured(f"usage error: {item.nodeid}: {checks.error}")
        for device in checks.devices():
            if reason := why_missing(device):
                text = f"{device} is not there: {reason}"
                raise pytest.skip.Exception(text, _use_item_location=True)
        recording = Recording(self._folder / file_name(item.nodeid), self._config)
        try:
            recording.begin()
        except (MemprofError, OSError) as error:
            self._cannot(result, checks, error)
            return None
        return Attempt(item, checks, recording, result, self._settings, self._baseline)

    def _setup_failed(self, error: BaseException) -> None:
        """A fixture may run out of memory, too."""
        attempt = self._attempt
        if attempt is not None and isinstance(error, (Exception, Failed)):
            try:
                attempt.ended(error)
            except Exception as own:
                attempt.result.notes.append(f"{attempt.result.test} cannot be measured: {own}")

    def _judged(self, attempt: Attempt, error: BaseException | None) -> None:
        try:
            attempt.ended(error)
        except Exception as own:
            self._cannot(attempt.result, attempt.checks, own)

    def _cannot(self, result: Result, checks: Checks, error: Exception) -> None:
        """What cannot be measured fails where a verdict was asked for, and nowhere else."""
        kind = "" if isinstance(error, UsageError) else f"{type(error).__name__}: "
        text = f"{result.test} cannot be measured: {kind}{error}"
        result.notes.append(text)
        if checks:
            raise NotMeasured(text) from error


def _forget_fixtures(item: pytest.Item) -> None:
    """Lets go of the fixtures' values as pytest will a moment later."""
    values = getattr(item, "funcargs", None)
    if isinstance(values, dict):
        values.clear()


def file_name(test: str) -> str:
    """The name of a test's trace: readable, and no other test's."""
    plain = re.sub(r"[^A-Za-z0-9_.=-]+", "-", test.rpartition("/")[2]).strip("-")
    digest = hashlib.sha256(test.encode()).hexdigest()[:8]
    return f"{plain[:_LONGEST]}-{digest}.json"


def _default_folder(config: pytest.Config) -> Path:
    """Where traces are kept that nobody named a folder for: pytest's own cache."""
    if hasattr(config, "cache") and config.cache is not None:
        return Path(config.cache.mkdir("memprof"))
    return Path(tempfile.mkdtemp(prefix="memprof-"))
