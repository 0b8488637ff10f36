"""Recordings of real GPUs: the model gives every address, segment, level and final block."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from memprof.interop.torch_snapshot import read_snapshot
from memprof.predict.replay import Action, Recording, verify
from tests.predict.replay.mutants import PLAIN
from tests.snapshots import needs_snapshots, snapshots

pytestmark = needs_snapshots


@cache
def recordings() -> dict[str, Recording]:
    return {
        f"{path.name}:{recording.device}": recording
        for path in snapshots()
        for recording in read_snapshot(path)
    }


@pytest.mark.parametrize("path", snapshots(), ids=lambda path: path.name)
def test_replayed_exactly(path: Path) -> None:
    for recording in read_snapshot(path):
        verification = verify(recording)
        assert verification.told == ()
        assert verification.exact


@pytest.mark.parametrize("path", snapshots(), ids=lambda path: path.name)
def test_addresses_and_levels_are_those_in_the_file(path: Path) -> None:
    """What `verify` claims, looked up in the recording without it."""
    for recording in read_snapshot(path):
        verification = verify(recording)
        made = [event.address for event in recording.events if event.action is Action.ALLOC]
        held = len(verification.result.addresses) - len(made)
        assert verification.result.addresses[held:].tolist() == made
        assert verification.result.end.reserved == sum(s.size for s in recording.segments)
        assert verification.result.end.requested == sum(
            block.requested for s in recording.segments for block in s.blocks
        )


@pytest.mark.parametrize("skipped", [1, 2, 10, 1000])
def test_any_part_of_a_recording_is_replayed_exactly(skipped: int) -> None:
    for recording in recordings().values():
        part = Recording(0, recording.events[skipped:], recording.segments, recording.settings)
        assert verify(part).exact


#: Faults that these recordings cannot show: they have one stream, release nothing, and hardly ask
#: the device for memory. `test_mutants` shows them.
UNSEEN = frozenset(
    {
        "10 MiB shares a segment",
        "large rest split at 1 MiB",
        "large segments not rounded",
        "large segments rounded to 4 MiB",
        "last stream released first",
        "nothing released",
        "one pool for all streams",
        "small pool released first",
    }
)


@pytest.mark.parametrize("name", sorted(PLAIN.keys() - UNSEEN))
def test_a_wrong_model_is_found_out(name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        PLAIN[name](patch)
        assert not all(verify(recording).exact for recording in recordings().values())
