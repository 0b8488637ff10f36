"""Settings are read as PyTorch reads them; PyTorch itself is asked."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from memprof.errors import UsageError
from memprof.predict.allocator import AllocatorSettings, parse_settings
from memprof.predict.allocator.settings import recorded_settings
from memprof.predict.allocator.sizes import rounded_request

MIB = 1 << 20
DIVISIONS = [
    "8",
    "[256:1,512:2,1024:4,>:8]",
    "[64:8,128:2,256:4,512:2,1024:4,>:1]",
    "[256:1,1024:8]",
    "[1:16]",
    "[32768:2]",
    "[128:0,>:4]",
]
REFUSED = [
    "max_split_size_mb:19",
    "large_segment_size_mb:40,max_split_size_mb:30",
    "large_segment_size_mb:15,max_non_split_rounding_mb:11",
    "max_split_size_mb:many",
    "max_non_split_rounding_mb:5",
    "large_segment_size_mb:10",
    "garbage_collection_threshold:1.0",
    "garbage_collection_threshold:0",
    "expandable_segments:true",
    "roundup_power2_divisions:3",
    "roundup_power2_divisions:[3:4]",
    "roundup_power2_divisions:[256:6]",
]
ACCEPTED = [
    "max_split_size_mb:12,large_segment_size_mb:11",
    "max_split_size_mb:20",
    "max_non_split_rounding_mb:20",
    "large_segment_size_mb:11",
    "garbage_collection_threshold:0.8",
    "expandable_segments:True",
    "expandable_segments:False, max_split_size_mb:512",
    "pinned_use_background_threads:True",
    *(f"roundup_power2_divisions:{text}" for text in DIVISIONS),
]


@pytest.fixture
def torch_settings() -> Iterator[object]:
    """PyTorch's own parser; its settings are put back afterwards, and not all of them by ""."""
    yield torch._C._accelerator_setAllocatorSettings
    torch._C._accelerator_setAllocatorSettings("large_segment_size_mb:20")


def torch_divisions(nbytes: int) -> int:
    """The divisions that PyTorch's settings now have for requests of this size."""
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libc10.so"))
    ask = library._ZN3c1016CachingAllocator26AcceleratorAllocatorConfig24roundup_power2_divisionsEm
    ask.argtypes, ask.restype = [ctypes.c_size_t], ctypes.c_size_t
    return int(ask(nbytes))


@pytest.mark.parametrize("text", ACCEPTED)
def test_what_pytorch_accepts_is_accepted(text: str, torch_settings) -> None:
    torch_settings(text)
    parse_settings(text)


@pytest.mark.parametrize("text", REFUSED)
def test_what_pytorch_refuses_is_refused_in_one_line(text: str, torch_settings) -> None:
    with pytest.raises((ValueError, RuntimeError)):
        torch_settings(text)
    with pytest.raises(UsageError, match=r"allocator setting .* must be") as refused:
        parse_settings(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", DIVISIONS)
def test_divisions_of_every_size_are_pytorchs(text: str, torch_settings) -> None:
    torch_settings(f"roundup_power2_divisions:{text}")
    divisions = parse_settings(f"roundup_power2_divisions:{text}").roundup_power2_divisions
    assert list(divisions) == [torch_divisions(MIB << power) for power in range(16)]


@pytest.mark.parametrize("text", ["max_split_size:20", "expandable:True", "garbage"])
def test_unknown_settings_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="allocator setting"):
        parse_settings(text)


def test_another_backend_is_refused() -> None:
    with pytest.raises(UsageError, match="native"):
        parse_settings("backend:cudaMallocAsync")


@pytest.mark.parametrize("text", ["", *ACCEPTED, "per_process_memory_fraction:0.5"])
def test_written_and_read_again(text: str) -> None:
    settings = parse_settings(text)
    assert parse_settings(str(settings)) == settings


def test_rounding_to_divisions_of_a_power_of_two() -> None:
    """PyTorch's own example: 1,200 lies between 1,024 and 2,048 and becomes 1,280."""
    settings = AllocatorSettings(roundup_power2_divisions=(4,) * 16)
    assert rounded_request(1200 * 1024, settings) == 1280 * 1024
    assert rounded_request(1024 * 1024, settings) == 1024 * 1024
    assert rounded_request(1793 * 1024, settings) == 2048 * 1024
    assert rounded_request(2048, settings) == 2048
    assert rounded_request(2049, settings) == 2560


def test_settings_of_a_snapshot() -> None:
    recorded = {
        "PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:64,large_segment_size_mb:40",
        "max_split_size": 64 * MIB,
        "garbage_collection_threshold": 0.7,
        "expandable_segments": False,
        "roundup_power2_divisions": {str(1 << power): 4 for power in range(16)},
    }
    assert recorded_settings(recorded) == AllocatorSettings(
        max_split_bytes=64 * MIB,
        large_segment_bytes=40 * MIB,
        garbage_collection_threshold=0.7,
        roundup_power2_divisions=(4,) * 16,
    )
    assert recorded_settings({"max_split_size": -1}) == AllocatorSettings()
