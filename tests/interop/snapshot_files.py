"""Snapshot files in the layouts of all versions of PyTorch, from one recording."""

from __future__ import annotations

import base64
import json
import pickle
from typing import Any

from memprof.predict.replay import Action, Recording

VERSIONS = ("2.0", "2.1", "2.4", "2.6", "2.11")


def snapshot(recording: Recording, version: str = "2.6") -> dict[str, Any]:
    """What `torch.cuda.memory._snapshot()` of a version gives."""
    number = tuple(int(part) for part in version.split("."))
    document: dict[str, Any] = {
        "segments": [_segment(state, number) for state in recording.segments],
        "device_traces": [[_event(event, number) for event in recording.events]],
    }
    if number >= (2, 4):
        document["allocator_settings"] = _settings(recording)
    if number >= (2, 6):
        document["external_annotations"] = []
    return document


def pickled(document: Any, protocol: int = 4) -> bytes:
    return pickle.dumps(document, protocol)


def page(data: bytes) -> bytes:
    """The page that PyTorch's memory_viz makes of a pickle."""
    padded = data + b"\0" * (3 - len(data) % 3)
    files = [{"name": "snapshot.pickle", "base64": base64.b64encode(padded).decode()}]
    return (
        b'<!DOCTYPE html>\n<html>\n<body>\n<script type="module">\n'
        b'import {add_local_files} from "https://example.org/MemoryViz.js"\n'
        b"const local_files = " + json.dumps(files).encode() + b"\n"
        b"add_local_files(local_files, 'Active Memory Timeline')\n</script>\n</body>\n"
    )


def _segment(state: Any, version: tuple[int, ...]) -> dict[str, Any]:
    used = [block for block in state.blocks if block.use != "inactive"]
    row = {
        "device": 0,
        "address": state.address,
        "total_size": state.size,
        "allocated_size": sum(block.size for block in used),
        "active_size": sum(block.size for block in used),
        "stream": state.stream,
        "segment_type": "small" if state.small else "large",
        "blocks": [_block(block, version) for block in state.blocks],
    }
    if version >= (2, 1):
        row |= {"segment_pool_id": state.pool_id, "is_expandable": state.expandable, "frames": []}
    return row


def _block(block: Any, version: tuple[int, ...]) -> dict[str, Any]:
    row = {"size": block.size, "requested_size": block.requested, "state": block.use}
    if version < (2, 1):
        return row | {"history": []}
    return row | {"address": block.address, "frames": []}


def _event(event: Any, version: tuple[int, ...]) -> dict[str, Any]:
    place = "device_free" if event.action is Action.OOM else "addr"
    row = {
        "action": event.action.name.lower(),
        place: event.address,
        "size": event.size,
        "stream": event.stream,
        "frames": [],
    }
    if version >= (2, 4):
        row["time_us"] = event.time_us
    if version >= (2, 11):
        row |= {"compile_context": "N/A", "user_metadata": ""}
    return row


def _settings(recording: Recording) -> dict[str, Any]:
    settings = recording.settings
    return {
        "PYTORCH_CUDA_ALLOC_CONF": str(settings),
        "max_split_size": settings.max_split_bytes or -1,
        "garbage_collection_threshold": settings.garbage_collection_threshold,
        "expandable_segments": settings.expandable_segments,
        "roundup_power2_divisions": {
            str(1 << power): value for power, value in enumerate(settings.roundup_power2_divisions)
        },
    }
