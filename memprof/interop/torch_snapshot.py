"""Reads PyTorch's CUDA memory snapshots: pickles, and the pages that memory_viz makes of them.

The pickle is what `torch.cuda.memory._dump_snapshot` writes. Its layout grew from version to
version of PyTorch: blocks of 2.0 have no address and a `history` in place of `frames`, 2.4 added
`time_us` and `allocator_settings`, later versions more that is of no matter here.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeVar

from memprof.errors import TraceFileError, UsageError
from memprof.interop.plain_pickle import load_plain
from memprof.predict.allocator.blocks import DEFAULT_POOL, PoolId
from memprof.predict.allocator.settings import AllocatorSettings, recorded_settings
from memprof.predict.allocator.states import BlockState, SegmentState, Use
from memprof.predict.replay.recording import ACTIONS, Action, Event, Recording

T = TypeVar("T")

_PAGE: Final = (b"<!doctype html", b"<html")
_PAGE_FILES: Final = re.compile(rb"local_files\s*=\s*(\[[^\]]*\])")
_LARGEST: Final = 1 << 62
_USES: Final[Mapping[Any, Use]] = {
    "active_allocated": "active_allocated",
    "active_pending_free": "active_pending_free",
    "active_awaiting_free": "active_pending_free",
    "inactive": "inactive",
}


def read_snapshot(path: str | Path) -> tuple[Recording, ...]:
    """Reads a snapshot.

    Args:
        path: a pickle, or an HTML page of PyTorch's memory_viz.

    Returns:
        the memory of each device that has any, by number.

    Raises:
        TraceFileError: if the file cannot be read, or is no snapshot.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise TraceFileError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise TraceFileError(f"{path}: is a directory; name the snapshot in it") from None
    except OSError as error:
        raise TraceFileError(f"{path}: cannot be read: {error.strerror}") from None
    source = str(path)
    if _is_page(data):
        data = _pickle_of_page(data, source)
    return _recordings(load_plain(data, source), source)


def _is_page(data: bytes) -> bool:
    return data[:200].lstrip().lower().startswith(_PAGE)


def _pickle_of_page(data: bytes, source: str) -> bytes:
    """Gives the snapshot that a page of memory_viz carries."""
    found = _PAGE_FILES.search(data)
    if found is None:
        raise TraceFileError(f"{source}: a web page without a memory snapshot in it")
    try:
        return base64.b64decode(json.loads(found[1])[0]["base64"], validate=True)
    except (ValueError, LookupError, TypeError, binascii.Error):
        raise TraceFileError(f"{source}: the memory snapshot in this page is damaged") from None


def _recordings(document: Any, source: str) -> tuple[Recording, ...]:
    if isinstance(document, list):
        document = {"segments": document}
    if not isinstance(document, dict) or "segments" not in document:
        raise TraceFileError(f"{source}: a pickle, but no CUDA memory snapshot: it has no segments")
    try:
        return _by_device(document)
    except _LayoutError as error:
        raise TraceFileError(f"{source}: no CUDA memory snapshot: {error}") from None


class _LayoutError(Exception):
    """Something in the snapshot is not what it should be."""


def _by_device(document: Mapping[str, Any]) -> tuple[Recording, ...]:
    settings = _settings(_of(document.get("allocator_settings") or {}, dict, "settings"))
    segments: dict[int, list[SegmentState]] = {}
    for row in _of(document["segments"], list, "segments"):
        device, segment = _segment(_of(row, dict, "a segment"))
        segments.setdefault(device, []).append(segment)
    events = {
        device: events
        for device, rows in enumerate(_of(document.get("device_traces") or [], list, "traces"))
        if (events := list(_events(_of(rows, list, "a trace"))))
    }
    return tuple(
        _recording(device, events.get(device, []), segments.get(device, []), settings)
        for device in sorted({*events, *segments})
    )


def _settings(row: Mapping[str, Any]) -> AllocatorSettings:
    try:
        return recorded_settings(row)
    except UsageError as error:
        raise _LayoutError(str(error)) from None
    except (TypeError, ValueError):
        raise _LayoutError("its allocator settings are damaged") from None


def _recording(
    device: int, events: list[Event], segments: list[SegmentState], settings: AllocatorSettings
) -> Recording:
    ordered = sorted(segments, key=lambda segment: segment.address)
    for one, other in pairwise(ordered):
        if one.address + one.size > other.address:
            raise _LayoutError("two segments overlap")
    return Recording(device, events, tuple(ordered), settings)


def _events(rows: list[Any]) -> Iterator[Event]:
    """The events that change memory."""
    for row in rows:
        row = _of(row, dict, "an event")
        action = ACTIONS.get(_of(row.get("action"), str, "an event's action"))
        if action is not None:
            # The bytes free on the device where a request fails have a name of their own.
            place = "device_free" if action is Action.OOM and "device_free" in row else "addr"
            yield Event(
                action,
                _whole(row, place),
                _whole(row, "size"),
                _whole(row, "stream"),
                _whole(row, "time_us") if "time_us" in row else 0,
            )


def _segment(row: Mapping[str, Any]) -> tuple[int, SegmentState]:
    address, size = _whole(row, "address"), _whole(row, "total_size")
    blocks = tuple(_blocks(_of(row.get("blocks"), list, "a segment's blocks"), address))
    if sum(block.size for block in blocks) != size:
        raise _LayoutError(f"the blocks of the segment at {address:#x} are not all of it")
    return _whole(row, "device"), SegmentState(
        address,
        size,
        _whole(row, "stream"),
        _of(row.get("segment_type"), str, "a segment's type") == "small",
        blocks,
        _pool_id(row.get("segment_pool_id", DEFAULT_POOL)),
        _of(row.get("is_expandable", False), bool, "is_expandable"),
    )


def _blocks(rows: list[Any], address: int) -> Iterator[BlockState]:
    """The blocks of a segment, from its address on one behind the other."""
    for row in rows:
        row = _of(row, dict, "a block")
        use = _USES.get(_of(row.get("state"), str, "a block's state"))
        if use is None:
            raise _LayoutError(f"a block is {row['state']!r}")
        size = _whole(row, "size")
        if size == 0 or _whole(row, "address", address) != address:
            raise _LayoutError(f"the blocks at {address:#x} do not follow one another")
        requested = 0 if use == "inactive" else _whole(row, "requested_size", size)
        yield BlockState(address, size, requested, use)
        address += size


def _pool_id(value: Any) -> PoolId:
    if not (isinstance(value, (tuple, list)) and len(value) == 2):
        raise _LayoutError(f"a segment's pool is {value!r:.80}")
    return _integer(value[0], "a pool"), _integer(value[1], "a pool")


def _whole(row: Mapping[str, Any], name: str, default: int | None = None) -> int:
    return _integer(row.get(name, default), name)


def _integer(value: Any, name: str) -> int:
    if type(value) is not int or not 0 <= value < _LARGEST:
        raise _LayoutError(f"{name} is {value!r:.80}")
    return value


def _of(value: Any, kind: type[T], name: str) -> T:
    if not isinstance(value, kind):
        raise _LayoutError(f"{name} is {value!r:.80}")
    return value
