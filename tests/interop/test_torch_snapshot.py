"""Snapshots of PyTorch are read, whatever their version; what is none is refused in one line."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memprof.errors import TraceFileError
from memprof.interop.torch_snapshot import read_snapshot
from tests.interop.snapshot_files import VERSIONS, page, pickled, snapshot
from tests.predict.allocator.programs import MIB
from tests.predict.allocator.reference import Rules
from tests.predict.replay.recorder import recorded
from tests.snapshots import needs_snapshots, snapshots

SETTINGS = "expandable_segments:True,roundup_power2_divisions:4"
RECORDING = recorded("", Rules(capacity=300 * MIB), seed=1)
EXPANDABLE = recorded(SETTINGS, Rules(True, math.inf, divisions=4), seed=1)


def write(folder: Path, data: bytes, name: str = "s.pickle") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


@pytest.mark.parametrize("version", VERSIONS)
def test_every_layout_is_read(version: str, tmp_path: Path) -> None:
    file = write(tmp_path, pickled(snapshot(RECORDING, version)))
    (found,) = read_snapshot(file)
    assert list(found.events) == RECORDING.events
    assert found.segments == RECORDING.segments
    assert found.settings == RECORDING.settings


def test_settings_and_expandable_segments_are_read(tmp_path: Path) -> None:
    (found,) = read_snapshot(write(tmp_path, pickled(snapshot(EXPANDABLE))))
    assert found == EXPANDABLE


def test_a_page_holds_the_same(tmp_path: Path) -> None:
    data = pickled(snapshot(RECORDING))
    assert read_snapshot(write(tmp_path, page(data), "s.html")) == read_snapshot(
        write(tmp_path, data)
    )


@needs_snapshots
def test_pickle_and_page_of_one_recording_are_equal() -> None:
    pages = snapshots(".html")
    assert pages
    for one in pages:
        assert read_snapshot(one) == read_snapshot(one.with_suffix(".pickle"))


def test_segments_alone_are_a_state(tmp_path: Path) -> None:
    document = snapshot(RECORDING)["segments"]
    (found,) = read_snapshot(write(tmp_path, pickled(document)))
    assert found.segments == RECORDING.segments
    assert not found.events


def test_each_device_is_apart(tmp_path: Path) -> None:
    document = snapshot(RECORDING)
    document["device_traces"].append(snapshot(EXPANDABLE)["device_traces"][0])
    for segment in snapshot(EXPANDABLE)["segments"]:
        document["segments"].append({**segment, "device": 1})
    first, second = read_snapshot(write(tmp_path, pickled(document)))
    assert (first.device, second.device) == (0, 1)
    assert first.segments == RECORDING.segments
    assert second.segments == EXPANDABLE.segments


def _damage(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def apply(document: dict[str, Any]) -> None:
        *way, last = (int(part) if part.isdigit() else part for part in path.split("."))
        place: Any = document
        for part in way:
            place = place[part]
        place[last] = value

    return apply


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("segments", {}),
        ("segments.0", None),
        ("segments.0.address", "0x7f"),
        ("segments.0.address", -1),
        ("segments.0.address", 1 << 80),
        ("segments.0.total_size", 1.5),
        ("segments.0.total_size", 7),
        ("segments.0.segment_type", 3),
        ("segments.0.stream", True),
        ("segments.0.is_expandable", "no"),
        ("segments.0.segment_pool_id", 5),
        ("segments.0.blocks", "blocks"),
        ("segments.0.blocks.0.size", 0),
        ("segments.0.blocks.0.address", 12345),
        ("segments.0.blocks.0.state", "asleep"),
        ("segments.1.address", 0),
        ("device_traces", 4),
        ("device_traces.0", {"a": 1}),
        ("device_traces.0.0", []),
        ("device_traces.0.0.addr", None),
        ("device_traces.0.0.action", 9),
        ("allocator_settings", [1]),
        ("allocator_settings.PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:x"),
        ("allocator_settings.garbage_collection_threshold", "often"),
        ("allocator_settings.roundup_power2_divisions", {str(n): "x" for n in range(16)}),
    ],
)
def test_what_is_not_as_it_should_be_is_told_in_one_line(
    path: str, value: Any, tmp_path: Path
) -> None:
    document = snapshot(RECORDING)
    _damage(path, value)(document)
    file = write(tmp_path, pickled(document))
    with pytest.raises(TraceFileError) as error:
        read_snapshot(file)
    assert str(error.value).startswith(f"{file}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no readable pickle"),
        (b"<html><body>hello</body></html>", "a web page without a memory snapshot"),
        (page(b"x").replace(b'"base64": "', b'"base64": "!'), "damaged"),
        (page(b"hello"), "no readable pickle"),
        (pickled({"model": [1, 2]}), "it has no segments"),
        (pickled(7), "it has no segments"),
    ],
)
def test_other_files_are_refused(data: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(TraceFileError, match=reason):
        read_snapshot(write(tmp_path, data))


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(TraceFileError, match="no such file"):
        read_snapshot(tmp_path / "absent.pickle")
    with pytest.raises(TraceFileError, match="is a directory"):
        read_snapshot(tmp_path)
