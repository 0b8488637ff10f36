"""Pickles that hold plain data and nothing else: whatever asks for code is refused."""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

from memprof.errors import TraceFileError

#: Bytes of Python objects for each byte of a pickle; those of snapshots take five to ten.
EXPANSION: Final = 64
LEAST_ROOM: Final = 512 << 20


def load_plain(data: bytes, source: str) -> Any:
    """Reads a pickle of dicts, lists, tuples, text, bytes and numbers.

    Args:
        data: the pickle; what follows its end is not read.
        source: its name, for messages.

    Raises:
        TraceFileError: if it is damaged, asks for anything else (a class, a function, a
            persistent object), or for far more memory than it can fill.
    """
    try:
        with _memory_limit(EXPANSION * len(data) + LEAST_ROOM):
            return _Unpickler(io.BytesIO(data)).load()
    except _RefusedError as refused:
        raise TraceFileError(
            f"{source}: asks for {refused}, which no memory snapshot does; nothing of it was run"
        ) from None
    except MemoryError:
        raise TraceFileError(f"{source}: asks for more memory than it can fill") from None
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TraceFileError(f"{source}: no readable pickle ({reason})") from None


class _RefusedError(Exception):
    """A pickle asks for what is not plain data."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise _RefusedError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise _RefusedError(f"a persistent object, {pid!r:.40}")


@contextmanager
def _memory_limit(nbytes: int) -> Iterator[None]:
    """Lets the process grow by so much and no more, where the system can be told so.

    A number of five bytes makes the unpickler allocate a table of as many entries.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    own = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + nbytes
    if own[0] != resource.RLIM_INFINITY:
        limit = min(limit, own[0])
    resource.setrlimit(resource.RLIMIT_AS, (limit, own[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, own)
