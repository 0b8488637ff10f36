"""What is told when the session ends: verdicts, the report of all tests, JSON, the baseline."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

import memprof
from memprof.pytest_plugin.baseline import figures_of, read_baseline
from memprof.pytest_plugin.settings import Settings
from memprof.units import format_bytes

SCHEMA: Final = 1
_SHOWN: Final = 3

Data = Mapping[str, Any]


class Reporting:
    """Collects the results of all tests, those too that came from other processes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._results: dict[str, dict[str, Any]] = {}
        self._files: list[str] = []

    def keep(self, report: Any) -> None:
        """Keeps the latest word on each test."""
        told, known = report.memprof, self._results.get(report.nodeid, {})
        failed = report.failed or (report.when == "teardown" and known.get("outcome") == "failed")
        outcome = "failed" if failed else "skipped" if report.skipped else "passed"
        if report.when == "teardown" and not failed:
            outcome = known.get("outcome", outcome)
        exceeded = told["exceeded"] or (report.when == "teardown" and known.get("exceeded", False))
        self._results[report.nodeid] = {**told, "outcome": outcome, "exceeded": exceeded}

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Writes the files that were asked for."""
        if self._settings.json is not None:
            self._write(session, self._settings.json, self._write_json)
        if self._settings.baseline is not None and self._settings.update_baseline:
            self._write(session, self._settings.baseline, self._update_baseline)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Prints the verdicts that were not passed, then the report if it was asked for."""
        exceeded = [result for result in self._results.values() if result["exceeded"]]
        if exceeded:
            terminalreporter.write_sep("=", "MEMORY", red=True, bold=True)
            for result in exceeded:
                terminalreporter.write_sep("_", result["test"], red=True, bold=True)
                missed = [verdict for verdict in result["verdicts"] if not verdict["passed"]]
                terminalreporter.write_line(verdict_text(missed, result["trace"]))
        lines = list(self._summary())
        if lines:
            terminalreporter.write_sep("=", "memory of the tests")
            for line in lines:
                terminalreporter.write_line(line)

    def document(self) -> dict[str, Any]:
        """All results as plain data: what ``--memprof-json`` writes."""
        results = [self._results[name] for name in sorted(self._results)]
        return {
            "schema": SCHEMA,
            "memprof": memprof.__version__,
            "tests": results,
            "summary": {
                "measured": sum(bool(result["devices"]) for result in results),
                "exceeded": sum(result["exceeded"] for result in results),
            },
        }

    def _write(self, session: pytest.Session, path: Path, write: Callable[[Path], None]) -> None:
        try:
            write(path)
            self._files.append(f"wrote {path}")
        except OSError as error:
            self._files.append(f"{path}: cannot be written: {error.strerror}")
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED

    def _write_json(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.document(), indent=2, ensure_ascii=False)
        path.write_text(text + "\n", "utf-8")

    def _update_baseline(self, path: Path) -> None:
        found = read_baseline(path, may_be_missing=True)
        for result in self._results.values():
            if result["outcome"] != "passed":
                continue
            for device, figures in result["devices"].items():
                place = result["environments"][device]
                found.put(place, result["test"], device, figures_of(figures))
        found.write()

    def _summary(self) -> Iterator[str]:
        if self._settings.all:
            yield from table(list(self._results.values()), self._settings.top)
        notes = [note for result in self._results.values() for note in result["notes"]]
        for note in dict.fromkeys(notes):
            count = notes.count(note)
            yield f"{note} ({count} tests)" if count > 1 else note
        if any("baseline" in note for note in notes):
            yield "add them with --memprof-update-baseline"
        yield from self._files


def verdict_text(verdicts: Iterable[Data], trace: str | None) -> str:
    """Verdicts for people: each sentence, its largest tensors, and the command to go on with."""
    lines: list[str] = []
    for verdict in verdicts:
        lines += [verdict["sentence"], *(f"    {line}" for line in verdict["largest"])]
    if trace is not None:
        lines.append(f"memprof report {trace}")
    return "\n".join(lines)


def table(results: list[Data], top: int) -> Iterator[str]:
    """The tests that held the most, a line for each device: peak, what of, held before."""
    rows = [
        (figures["peak_bytes"], device, result["test"], figures)
        for result in results
        for device, figures in result["devices"].items()
    ]
    rows.sort(key=lambda row: (-row[0], row[2], row[1]))
    for nbytes, device, test, figures in rows[:top]:
        yield f"{format_bytes(nbytes):>12}  {device}  {test}  {_mostly(figures)}".rstrip()
    if len(rows) > top:
        yield f"and {len(rows) - top} more; --memprof-top N lists more, --memprof-json FILE all"
    if not rows:
        yield "no test was measured"


def _mostly(figures: Data) -> str:
    parts = sorted(figures["by_category"].items(), key=lambda part: -part[1])
    return ", ".join(f"{name} {format_bytes(held)}" for name, held in parts[:_SHOWN] if held > 0)
