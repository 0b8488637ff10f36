"""Does it fit? And what is the most that does?"""

from __future__ import annotations

from memprof.estimate.device import DeviceEstimate
from memprof.estimate.hardware import Hardware

OUTSIDE = "the CUDA context, libraries and what the allocator leaves unused come on top"


def fits(device: DeviceEstimate, machine: Hardware) -> bool | None:
    """Whether a device's peak fits on a machine.

    Returns:
        None where what is known fits and something else is not known.
    """
    if device.known_bytes > machine.holds:
        return False
    return True if device.peak_bytes is not None else None
