"""Whether a program fits on each GPU of the catalogue, and with how much room."""

from __future__ import annotations

from typing import Any, Final

from memprof.estimate.hardware import Hardware, all_hardware

#: Bytes of a process on the device that no allocator of PyTorch's knows: the CUDA context, the
#: kernels' code and the libraries. 0.3 to 0.6 GiB are commonly seen; a real run measures its own.
CONTEXT_BYTES: Final = 512 << 20


def fits(needed: int) -> dict[str, dict[str, Any]]:
    """Says of every GPU whether `needed` bytes fit on it, smallest GPU first."""
    devices = sorted(all_hardware(), key=lambda device: (device.holds, device.key))
    return {device.key: _fit(device, needed) for device in devices}


def _fit(device: Hardware, needed: int) -> dict[str, Any]:
    return {
        "name": device.name,
        "total_bytes": device.holds,
        "fits": needed <= device.holds,
        "headroom_bytes": device.holds - needed,
    }
