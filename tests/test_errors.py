"""The errors that memprof raises on purpose."""

from __future__ import annotations

import inspect

from memprof import errors


def test_one_family() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    assert len(kinds) >= 5
    assert all(issubclass(kind, errors.MemprofError) for kind in kinds)
    assert issubclass(errors.MemprofError, Exception)
    assert all(kind.__doc__ for kind in kinds)
