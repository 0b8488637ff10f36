"""From the markers of a test to what is asked of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import pytest

from memprof.errors import UsageError
from memprof.pytest_plugin.checks import (
    END,
    PEAK,
    Ceiling,
    Checks,
    Leak,
    MatchesEstimate,
    checked_category,
    checked_device,
    size,
)
from memprof.pytest_plugin.checks import tolerance as read_tolerance
from memprof.pytest_plugin.settings import Settings

CEILING, ESTIMATE, LEAK = "memory_ceiling", "memory_matches_estimate", "memory_leak"
_NOT_GIVEN: Final = object()


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of one test.

    Attributes:
        values: by argument name; empty where it has none.
        id: what stands in brackets behind the test's name.
    """

    values: Mapping[str, Any]
    id: str

    def choose(self, limit: object) -> object:
        """What a limit is for these parameters: a mapping or a callable may say.

        Raises:
            UsageError: if the mapping has no entry for them, or the callable fails.
        """
        if callable(limit):
            return self._called(limit)
        return self._looked_up(limit) if isinstance(limit, Mapping) else limit

    def _looked_up(self, limits: Mapping[Any, object]) -> object:
        keys = [self.id, *self.values.values(), tuple(self.values.values())]
        for key in keys:
            for known, limit in limits.items():
                if type(known) is type(key) and known == key:
                    return limit
        known = ", ".join(map(repr, limits))
        raise UsageError(f"no entry for the parameters [{self.id}]: the mapping has {known}")

    def _called(self, limit: Callable[..., object]) -> object:
        names = inspect.signature(limit).parameters
        unknown = [name for name in names if name not in self.values]
        if unknown:
            known = ", ".join(self.values) or "none"
            raise UsageError(f"{unknown[0]!r} is no parameter of the test: it has {known}")
        try:
            return limit(**{name: self.values[name] for name in names})
        except Exception as error:
            raise UsageError(f"the callable failed: {type(error).__name__}: {error}") from None


def checks_of(item: pytest.Item, settings: Settings) -> Checks:
    """Reads the markers of a test, the closest first, and the default ceiling last."""
    try:
        return _read(item, settings)
    except UsageError as error:
        return Checks(error=str(error))


def parameters_of(item: pytest.Item) -> Parameters:
    """The parameters of a test."""
    spec = getattr(item, "callspec", None)
    return Parameters({}, "") if spec is None else Parameters(spec.params, spec.id)


def make_ceilings(
    settings: Settings, parameters: Parameters, *limit: Any, **options: Any
) -> list[Ceiling]:
    """What the arguments of `memory_ceiling` ask. Raises UsageError if they mean nothing."""
    return _ceilings(settings, parameters, *limit, **options)


def _read(item: pytest.Item, settings: Settings) -> Checks:
    make = partial(_ceilings, settings, parameters_of(item))
    made = [ceiling for mark in item.iter_markers(CEILING) for ceiling in _understood(mark, make)]
    if settings.ceiling is not None:
        made += make(settings.ceiling)
    ceilings: dict[tuple[object, ...], Ceiling] = {}
    for ceiling in made:
        ceilings.setdefault(ceiling.key, ceiling)
    return Checks(
        tuple(ceiling for ceiling in ceilings.values() if ceiling.limit is not None),
        _closest(item, ESTIMATE, _estimate),
        _closest(item, LEAK, _leak),
    )


def _closest(item: pytest.Item, name: str, read: Callable[..., Any]) -> tuple[Any, ...]:
    """The markers of the test itself, or of the closest class or module that has any."""
    found: dict[str, Any] = {}
    for mark in item.iter_markers(name):
        check = _understood(mark, read)
        found.setdefault(check.device, check)
    return tuple(found.values())


def _understood(mark: pytest.Mark, read: Callable[..., Any]) -> Any:
    try:
        return read(*mark.args, **mark.kwargs)
    except (UsageError, TypeError) as error:
        raise UsageError(f"{_written(mark)}: {error}") from None


def _written(mark: pytest.Mark) -> str:
    options = [f"{name}={value!r}" for name, value in mark.kwargs.items()]
    return f"{mark.name}({', '.join([*map(repr, mark.args), *options])})"


def _ceilings(
    settings: Settings,
    parameters: Parameters,
    limit: object = _NOT_GIVEN,
    *more: object,
    device: object = None,
    on: object = PEAK,
    absolute: object = None,
    fixtures: object = None,
    **categories: object,
) -> list[Ceiling]:
    if more:
        raise UsageError("more than one size: give the categories by name, as weights='1 GiB'")
    if limit is _NOT_GIVEN and not categories:
        raise UsageError("without a size: write memory_ceiling('2 GiB') or activations='1 GiB'")
    if on not in (PEAK, END):
        raise UsageError(f"on={on!r}: choose 'peak' or 'end'")
    where = checked_device(settings.device if device is None else device)
    over_all = _flag("absolute", settings.absolute if absolute is None else absolute)
    counted = _flag("fixtures", settings.fixtures if fixtures is None else fixtures)
    limits = {checked_category(name): each for name, each in categories.items()}
    if limit is not _NOT_GIVEN:
        limits = {"": limit, **limits}
    return [
        Ceiling(_limit(parameters.choose(each)), name, where, str(on), over_all, counted)
        for name, each in limits.items()
    ]


def _limit(value: object) -> int | None:
    return None if value is None else size(value)


def _flag(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise UsageError(f"{name}={value!r}: write True or False")


def _estimate(
    tolerance: object = "5%", *, categories: object = (), device: object = "", **more: object
) -> MatchesEstimate:
    _refuse(more, "tolerance, categories, device")
    if isinstance(categories, str) or not isinstance(categories, (list, tuple, set, frozenset)):
        raise UsageError(f"categories={categories!r}: write a list, as ['weights', 'activations']")
    names = tuple(sorted(map(checked_category, categories)))
    return MatchesEstimate(read_tolerance(tolerance), names, checked_device(device))


def _leak(limit: object = 0, *, device: object = "", **more: object) -> Leak:
    _refuse(more, "device")
    return Leak(size(limit), checked_device(device))


def _refuse(more: Mapping[str, object], known: str) -> None:
    for name in more:
        raise UsageError(f"unknown option {name!r}; it may have {known}")
