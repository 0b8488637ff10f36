"""Runs somebody's program as Python itself would: as ``__main__``, in its own module."""

from __future__ import annotations

import importlib.util
import os
import runpy
import sys
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import cast

from memprof.errors import MemprofError


class ProgramError(MemprofError):
    """The program to run cannot be found."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program and its arguments.

    Attributes:
        target: a script, a folder or zip file with a ``__main__.py``, or a module's name.
        arguments: handed to the program untouched.
        is_module: `target` names a module, as after ``python -m``.
    """

    target: str
    arguments: tuple[str, ...] = ()
    is_module: bool = False

    @property
    def name(self) -> str:
        """What to call the program in a file name."""
        return self.target if self.is_module else Path(self.target).resolve().stem

    def prepare(self) -> None:
        """Lays out `sys.argv`, `sys.path` and ``__main__`` for the program.

        Raises:
            ProgramError: if there is no such program.
        """
        sys.argv[:] = ["-m" if self.is_module else self.target, *self.arguments]
        self._prepare_path()
        if self.is_module:
            self._check_module()
        elif not Path(self.target).exists():
            raise ProgramError(f"{self.target}: no such script")
        main = sys.modules["__main__"] = ModuleType("__main__")
        vars(main).update(__annotations__={}, __builtins__=sys.modules["builtins"])

    def _prepare_path(self) -> None:
        """Puts the program's folder where Python put that of the command ``memprof``."""
        if sys.flags.safe_path and not self._is_container:
            return
        if self.is_module:
            folder = str(Path.cwd())
        elif self._is_container:
            folder = str(Path(self.target).absolute())
        else:
            folder = os.path.dirname(os.path.realpath(self.target))  # noqa: PTH120
        first = 1 if sys.path and not sys.flags.safe_path else 0
        sys.path[:first] = [folder]

    def _check_module(self) -> None:
        package = self.target.partition(".")[0]
        try:
            found = importlib.util.find_spec(package)
        except (ImportError, ValueError):
            found = None
        if found is None:
            raise ProgramError(f"no module named {package!r}; a script is run without -m")

    @property
    def _is_container(self) -> bool:
        """Whether the target is a folder or an archive with a program in it."""
        if self.is_module:
            return False
        return any(_finds_in(hook, self.target) for hook in sys.path_hooks)

    def execute(self) -> None:
        """Runs the program to its end; what it raises passes through."""
        if self.is_module or self._is_container:
            run = getattr(runpy, "_run_module_as_main")  # noqa: B009
            run(self.target if self.is_module else "__main__", alter_argv=self.is_module)
        else:
            exec(self._code(), self._main_globals())

    def _main_globals(self) -> dict[str, object]:
        namespace = cast(dict[str, object], vars(sys.modules["__main__"]))
        path = str(Path(self.target).absolute())
        loader = SourceFileLoader("__main__", path)
        namespace |= {"__file__": path, "__cached__": None, "__loader__": loader}
        return namespace

    def _code(self) -> CodeType:
        path = Path(self.target).absolute()
        if path.suffix == ".pyc":
            return cast(CodeType, SourcelessFileLoader("__main__", str(path)).get_code("__main__"))
        return compile(path.read_bytes(), str(path), "exec", dont_inherit=True)


def _finds_in(hook: object, path: str) -> bool:
    try:
        hook(path)  # type: ignore[operator]
    except ImportError:
        return False
    return True
