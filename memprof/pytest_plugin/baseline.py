"""The baseline file: what every test held when it was last looked at, kept with the code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from memprof.errors import UsageError
from memprof.pytest_plugin.checks import Tolerance

SCHEMA: Final = 1
PEAK: Final = "peak"

Figures = Mapping[str, int]


class Baseline:
    """Figures by environment (device kind and torch version), test and device.

    Figures are bytes: ``peak`` of all together, and each category's own highest.
    """

    def __init__(self, path: Path, environments: dict[str, Any]) -> None:
        self.path = path
        self._environments = environments

    @property
    def tests(self) -> frozenset[str]:
        """The tests that it has figures of, in any environment."""
        return frozenset(test for tests in self._environments.values() for test in tests)

    @property
    def environments(self) -> tuple[str, ...]:
        """The environments that it has figures of."""
        return tuple(sorted(self._environments))

    def figures(self, environment: str, test: str, device: str) -> Figures | None:
        """What a test held on a device; None where the baseline does not say."""
        found: Figures | None = self._environments.get(environment, {}).get(test, {}).get(device)
        return found

    def put(self, environment: str, test: str, device: str, figures: Figures) -> None:
        """Replaces what the baseline says of a test on a device."""
        tests = self._environments.setdefault(environment, {})
        tests.setdefault(test, {})[device] = {name: held for name, held in figures.items() if held}

    def write(self) -> None:
        """Writes the file, in an order that makes the changes readable."""
        document = {"schema": SCHEMA, "environments": self._environments}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", "utf-8")


def environment(kind: str, torch: str) -> str:
    """The key of an environment: ``NVIDIA H200, torch 2.13.0``."""
    return f"{kind}, torch {torch}"


def read_baseline(path: Path, *, may_be_missing: bool = False) -> Baseline:
    """Reads a baseline file.

    Raises:
        UsageError: if it is not there and has to be, or is none.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if may_be_missing:
            return Baseline(path, {})
        raise UsageError(
            f"{path}: no such baseline; make it with --memprof-update-baseline"
        ) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as a baseline: {error}") from None
    return Baseline(path, _checked(document, path))


def _checked(document: object, path: Path) -> dict[str, Any]:
    match document:
        case {"schema": int(schema)} if schema > SCHEMA:
            raise UsageError(
                f"{path}: written by a newer memprof; upgrade with pip install -U torch-memprof"
            )
        case {"schema": int(), "environments": dict(environments)} if all(
            map(_is_environment, environments.values())
        ):
            return environments
    raise UsageError(f"{path}: is no baseline of memprof; write one with --memprof-update-baseline")


def _is_environment(tests: object) -> bool:
    return isinstance(tests, dict) and all(
        isinstance(devices, dict)
        and all(
            isinstance(figures, dict) and all(type(held) is int for held in figures.values())
            for figures in devices.values()
        )
        for devices in tests.values()
    )


def figures_of(measured: Mapping[str, Any]) -> dict[str, int]:
    """The figures of one test on one device that a baseline keeps."""
    return {PEAK: measured["peak_bytes"], **measured["category_peaks"]}


def grown(known: Figures, now: Figures, tolerance: Tolerance) -> list[str]:
    """The figures that grew beyond the tolerance, those that grew most first."""
    growth = {name: held - known.get(name, 0) for name, held in now.items()}
    beyond = [name for name in growth if growth[name] > tolerance.of(known.get(name, 0))]
    return sorted(beyond, key=lambda name: (name == PEAK, -growth[name]))
