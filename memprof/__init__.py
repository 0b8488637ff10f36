"""Where the memory of a PyTorch run went. See `memprof.trace`, or ``memprof --help``."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memprof.api import compare, estimate, load, phase, predict, step, tag, trace
    from memprof.trace import Trace

__version__ = "0.1.0"

__all__ = [
    "Trace",
    "__version__",
    "compare",
    "estimate",
    "load",
    "phase",
    "predict",
    "step",
    "tag",
    "trace",
]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for: `import memprof` alone costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module("memprof.trace" if name == "Trace" else "memprof.api")
    value = globals()[name] = getattr(home, name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """Keeps the import system from putting a subpackage in the place of a function's name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
