"""Builds the observer with the machine's own compiler, once for each torch and Python."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import struct
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import torch

from memprof.errors import MemprofError

NAME: Final = "_memprof_native"
FOLDER: Final = "MEMPROF_CACHE"
COMPILERS: Final = ("c++", "g++", "clang++")
TIMEOUT_SECONDS: Final = 300
_SOURCES: Final = tuple(
    sorted(path for path in Path(__file__).parent.iterdir() if path.suffix in (".h", ".cpp"))
)
_loaded: list[Any] = []


class UnavailableError(MemprofError):
    """The observer cannot be built or loaded here; the text says why."""


def load(announce: Callable[[str], None] = lambda text: None) -> Any:
    """Returns the observer's module, building it if nobody has.

    Args:
        announce: is told, before a build, that it will take some seconds.

    Raises:
        UnavailableError: if there is no compiler, or it fails, or the result does not load.
    """
    if not _loaded:
        _loaded.append(_import(build(announce)))
    return _loaded[0]


def build(announce: Callable[[str], None] = lambda text: None, *, again: bool = False) -> Path:
    """Returns the path of the built observer.

    A build that failed is not tried again before something changes, or `again` asks for it; what
    was built before is kept until the new one is whole.

    Raises:
        UnavailableError: if it cannot be built.
    """
    library = cached_path()
    if _is_whole(library) and not again:
        return library
    command = _command()
    with _one_at_a_time(library):
        if again or not _is_whole(library):
            failed = library.with_suffix(".failed")
            if not again:
                _refuse_what_failed(failed, command[0])
            announce("building the allocator observer, once for this version of torch (about 10 s)")
            _compile(command, library, failed)
    return library


def _refuse_what_failed(failed: Path, compiler: str) -> None:
    """Raises UnavailableError if this compiler failed with this source before."""
    reason = failed.read_text() if failed.exists() else ""
    if reason.startswith(f"{compiler} failed"):
        raise UnavailableError(f"{reason} (memprof doctor tries again)")


def cached_path() -> Path:
    """Where the observer for this torch, this Python and this source is kept."""
    digest = hashlib.sha256()
    for part in (torch.__version__, torch.__file__, sys.implementation.cache_tag, sys.version):
        digest.update(f"{part}\n".encode())
    for source in _SOURCES:
        digest.update(source.read_bytes())
    return _folder() / f"native-{digest.hexdigest()[:20]}.so"


def _folder() -> Path:
    chosen = os.environ.get(FOLDER)
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "memprof"


def compiler() -> str:
    """The C++ compiler to use: `CXX`, or the first that is found.

    Raises:
        UnavailableError: if there is none.
    """
    wanted = (os.environ["CXX"],) if os.environ.get("CXX") else COMPILERS
    found = next(filter(None, map(shutil.which, wanted)), None)
    if found is None:
        raise UnavailableError(f"no C++ compiler: looked for {', '.join(wanted)}")
    return found


def _command() -> list[str]:
    if not sys.platform.startswith("linux"):
        raise UnavailableError("the allocator observer is built on Linux only")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise UnavailableError("the allocator observer does not know Python without its lock")
    headers = Path(sysconfig.get_paths()["include"])
    if not (headers / "Python.h").exists():
        raise UnavailableError(f"Python's headers are missing ({headers}/Python.h)")
    package = Path(torch.__file__).parent
    return [
        *(compiler(), "-std=c++20", "-O2", "-shared", "-fPIC", "-fvisibility=hidden"),
        f"-D_GLIBCXX_USE_CXX11_ABI={int(torch._C._GLIBCXX_USE_CXX11_ABI)}",
        *("-isystem", str(package / "include"), "-isystem", str(headers)),
        str(Path(__file__).with_name("native.cpp")),
        *(f"-L{package / 'lib'}", "-lc10", "-ltorch_cpu", "-ltorch_python"),
    ]


def _compile(command: list[str], library: Path, failed: Path) -> None:
    for left in library.parent.glob(f"{library.stem}-*"):  # by a builder that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=library.parent, prefix=f"{library.stem}-") as folder:
        result = Path(folder) / library.name
        try:
            done = subprocess.run(
                [*command, "-o", str(result)],
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS,
                env={**os.environ, "LC_ALL": "C"},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UnavailableError(f"the compiler did not finish: {error}") from error
        if done.returncode:
            reason = f"{command[0]} failed: {_first_error(done.stderr)}"
            failed.write_text(reason)
            raise UnavailableError(reason)
        failed.unlink(missing_ok=True)
        result.replace(library)


def _first_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[0] if lines else "no message")


@contextmanager
def _one_at_a_time(library: Path) -> Iterator[None]:
    """Holds a lock that every process on the machine takes before it builds."""
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with library.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise UnavailableError(
            f"{library.parent} cannot be written ({error.strerror}); {FOLDER} names another folder"
        ) from error


def _import(library: Path) -> ModuleType:
    loader = ExtensionFileLoader(NAME, str(library))
    spec = importlib.util.spec_from_loader(NAME, loader)
    assert spec is not None
    try:
        return importlib.util.module_from_spec(spec)
    except ImportError as error:
        raise UnavailableError(f"the built observer does not load: {error}") from error


def _is_whole(library: Path) -> bool:
    """Whether a library is there and as long as its header says: to load less may be fatal.

    The table of sections is the last thing in an ELF file (elf(5), 64 bits).
    """
    if not library.exists():
        return False
    with library.open("rb") as file:
        header = file.read(64)
    if len(header) < 64 or header[:4] != b"\x7fELF":
        return False
    table, entry_bytes, entries = struct.unpack("<40xQ10xHH2x", header)
    return bool(library.stat().st_size >= table + entry_bytes * entries)
