"""Weights that lie on the host and come over a link, layer by layer, when they are needed.

With r of L layers resident, a call fetches the others; two are on the device at once where one is
fetched while another is at work. Weights are read alone, so nothing is copied back. The time of a
call is at least that of the link where fetching and computing overlap, and their sum where not.
"""

from __future__ import annotations

from dataclasses import dataclass

from memprof.errors import UsageError
from memprof.estimate.blocks import bytes_by_block
from memprof.estimate.model_spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Offload:
    """What an offloaded model holds and fetches.

    Attributes:
        layers, resident: of the model, and those that stay on the device.
        device_bytes: weights on the device at the highest, those being fetched included.
        host_bytes: weights on the host.
        fetched_bytes: that every call brings over the link.
    """

    layers: int
    resident: int
    device_bytes: int
    host_bytes: int
    fetched_bytes: int

    def seconds(self, link: float, compute: float = 0.0, *, overlapped: bool = True) -> float:
        """The least time of a call.

        Args:
            link: bytes per second from host to device.
            compute: seconds that the device needs by itself.
            overlapped: whether it computes while it fetches.
        """
        fetching = self.fetched_bytes / link
        return max(fetching, compute) if overlapped else fetching + compute


def offload(model: ModelSpec, resident: int, *, buffers: int = 2) -> Offload:
    """What a model holds on the device and on the host with some of its layers resident.

    Args:
        model: with its parameters.
        resident: layers that stay on the device, the first ones.
        buffers: layers on the device at once of those that are fetched.

    Raises:
        UsageError: if the model has fewer layers.
    """
    blocks = bytes_by_block(model.unique_parameters())
    if not 0 <= resident <= len(blocks):
        raise UsageError(f"{resident} layers resident: the model has {len(blocks)}")
    around = sum(tensor.nbytes for tensor in model.unique_parameters()) - sum(blocks)
    away = blocks[resident:]
    moving = sum(sorted(away, reverse=True)[:buffers])
    return Offload(
        layers=len(blocks),
        resident=resident,
        device_bytes=around + sum(blocks[:resident]) + moving,
        host_bytes=sum(away),
        fetched_bytes=sum(away),
    )
