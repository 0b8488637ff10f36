"""Pickles that hold plain data and nothing else: whatever asks for code is refused."""

from __future__ import annotations

import io
import pickle
from typing import Any, NoReturn

from memprof.errors import TraceFileError


def load_plain(data: bytes, source: str) -> Any:
    """Reads a pickle of dicts, lists, tuples, text, bytes and numbers.

    Raises:
        TraceFileError: if it is damaged, or asks for anything else: a class, a function, a
            persistent object.
    """
    try:
        return _Unpickler(io.BytesIO(data)).load()
    except _RefusedError as refused:
        raise TraceFileError(
            f"{source}: asks for {refused}: not a memory snapshot, and nothing of it was run"
        ) from None
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TraceFileError(f"{source}: is no readable pickle ({reason})") from None


class _RefusedError(Exception):
    """A pickle asks for what is not plain data."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise _RefusedError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise _RefusedError(f"a persistent object, {pid!r:.40}")
