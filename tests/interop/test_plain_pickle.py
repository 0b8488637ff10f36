"""Pickles that want more than to be data are refused, and nothing of them happens."""

from __future__ import annotations

import os
import pickle
import resource
import struct
from pathlib import Path

import pytest

from memprof.errors import TraceFileError
from memprof.interop.plain_pickle import load_plain


class _Command:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self._path}",)


def refused(data: bytes) -> str:
    with pytest.raises(TraceFileError) as error:
        load_plain(data, "s.pickle")
    assert str(error.value).startswith("s.pickle: ")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_is_read(protocol: int) -> None:
    data = {"a": [1, 2.5, None, True, "text", (1 << 70, -3)]}
    assert load_plain(pickle.dumps(data, protocol) + b"\0\0", "s.pickle") == data


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_command_is_not_run(protocol: int, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    message = refused(pickle.dumps({"segments": [_Command(trap)]}, protocol))
    assert "system" in message
    assert "nothing of it was run" in message
    assert not trap.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"(S'ls'\nios\nsystem\n.",
        b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93.",
        b"\x80\x02\x82\x01.",
        pickle.dumps(Path("x")),
        b"\x80\x02cbuiltins\ndict\n)\x81.",
    ],
    ids=["GLOBAL", "INST", "STACK_GLOBAL", "EXT1", "a class", "NEWOBJ"],
)
def test_every_way_to_a_global_is_refused(data: bytes) -> None:
    refused(data)


def test_persistent_objects_are_refused() -> None:
    assert "persistent" in refused(b"Pfile\n.")


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"\x80\x63.", b"\x80\x04]", pickle.dumps(list(range(1000)))[:-500]],
    ids=["empty", "text", "protocol", "unfinished", "cut"],
)
def test_damage_is_told(data: bytes) -> None:
    assert "no readable pickle" in refused(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02]r" + struct.pack("<I", 1 << 30) + b".",
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"abc.",
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"abc.",
    ],
    ids=["memo", "bytes", "bytearray"],
)
def test_a_few_bytes_cannot_fill_the_memory(data: bytes) -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    refused(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 << 20  # KiB
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_deep_nesting_does_no_harm() -> None:
    load_plain(b"(" * 100_000 + b"l" * 99_999 + b".", "s.pickle")
