"""Whether a program fits on each GPU of the catalogue, and with how much room."""

from __future__ import annotations

from typing import Any, Final

from memprof.estimate.hardware import Hardware, all_hardware
from memprof.predict.answer.levels import Levels

#: Bytes of a process on the device that PyTorch's allocator does not know: the CUDA context, the
#: kernels' code and the libraries. 0.3 to 0.6 GiB are commonly seen; a real run measures its own.
CONTEXT_BYTES: Final = 512 << 20


def fits(levels: Levels) -> dict[str, dict[str, Any]]:
    """Says of every GPU whether a program fits on it, smallest GPU first.

    `headroom_bytes` is what is left when all is reserved that the allocator would take where
    memory is plentiful; below 0 the program may fit all the same, as unused memory is given back.
    """
    devices = sorted(all_hardware(), key=lambda device: (device.holds, device.key))
    return {device.key: _fit(device, levels) for device in devices}


def _fit(device: Hardware, levels: Levels) -> dict[str, Any]:
    capacity = device.holds - CONTEXT_BYTES
    return {
        "name": device.name,
        "total_bytes": device.holds,
        "fits": levels.fits_in(capacity),
        "headroom_bytes": capacity - levels.reserved_bytes,
    }
