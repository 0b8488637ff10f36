"""Offloaded weights: what stays, what is on its way, what lies on the host, counted by hand."""

from __future__ import annotations

import pytest

from memprof.errors import UsageError
from memprof.estimate import ModelSpec, TensorSpec
from memprof.estimate.offload import offload

AROUND, LAYERS = 1000, (10, 20, 30, 40)


def model() -> ModelSpec:
    sizes = {"embed.weight": AROUND, **{f"layers.{n}.w": size for n, size in enumerate(LAYERS)}}
    return ModelSpec(
        "Model",
        parameters=tuple(
            TensorSpec(name, (size,), "int8", "cpu", True, place)
            for place, (name, size) in enumerate(sizes.items())
        ),
    )


@pytest.mark.parametrize(
    ("resident", "buffers", "device", "host"),
    [
        (0, 2, AROUND + 40 + 30, 100),
        (0, 1, AROUND + 40, 100),
        (0, 0, AROUND, 100),
        (2, 0, AROUND + 10 + 20, 70),
        (2, 1, AROUND + 10 + 20 + 40, 70),
        (3, 2, AROUND + 10 + 20 + 30 + 40, 40),
        (4, 2, AROUND + 100, 0),
    ],
)
def test_bytes(resident: int, buffers: int, device: int, host: int) -> None:
    told = offload(model(), resident, buffers=buffers)
    assert (told.device_bytes, told.host_bytes, told.fetched_bytes) == (device, host, host)


def test_time() -> None:
    told = offload(model(), 0)
    assert told.seconds(50.0) == 2.0
    assert told.seconds(50.0, compute=3.0) == 3.0
    assert told.seconds(50.0, compute=3.0, overlapped=False) == 5.0


def test_more_layers_than_there_are() -> None:
    with pytest.raises(UsageError, match="has 4"):
        offload(model(), 5)
