"""What a program can ask of the GPU it is predicted for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from memprof.estimate.hardware import Hardware, hardware

#: Compute capability and multiprocessors by the beginning of a catalogue's key: NVIDIA, "CUDA GPU
#: compute capability" and the architectures' white papers.
_CAPABILITIES: Final = {
    "a100": (8, 0, 108),
    "h100-pcie": (9, 0, 114),
    "h100": (9, 0, 132),
    "h200": (9, 0, 132),
    "gh200": (9, 0, 132),
    "b200": (10, 0, 148),
    "rtx-4090": (8, 9, 128),
    "mi300x": (9, 4, 304),
}
DEFAULT: Final = "h100-80gb"


@dataclass(frozen=True, slots=True)
class Gpu:
    """The target of a prediction.

    Attributes:
        hardware: its entry in the catalogue.
        major, minor: its compute capability.
        multiprocessors: how many it has.
        count: devices that the program finds.
    """

    hardware: Hardware
    major: int
    minor: int
    multiprocessors: int
    count: int = 1

    @property
    def total_memory(self) -> int:
        """Bytes that CUDA says it has."""
        return self.hardware.holds


def gpu_named(name: str, count: int = 1) -> Gpu:
    """The GPU of a name in the catalogue.

    Raises:
        UsageError: if there is none.
    """
    found = hardware(name)
    matches = [prefix for prefix in _CAPABILITIES if found.key.startswith(prefix)]
    return Gpu(found, *_CAPABILITIES[max(matches, key=len, default="h100")], count)
