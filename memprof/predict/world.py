"""The fake world in which a program runs to be predicted."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import torch

from memprof.predict.fake import conversion, libraries
from memprof.predict.fake.mode import PredictedMode
from memprof.predict.gpu import Gpu
from memprof.predict.target.accelerator import cuda_stand_in
from memprof.predict.target.cuda import Cuda
from memprof.predict.target.meter import Meter
from memprof.record import session as recording
from memprof.record.patches import Patches


class World:
    """The fake world around a program: entered before the recording begins, left after it.

    Args:
        gpu: the GPU that the program finds; None for a machine without one.
    """

    def __init__(self, gpu: Gpu | None) -> None:
        self._gpu = gpu
        self._stack = ExitStack()

    def __enter__(self) -> World:
        with self._stack as stack:
            patches, meter = Patches(), Meter()
            stack.callback(patches.undo)
            stack.enter_context(torch.autograd.set_multithreading_enabled(False))
            if self._gpu is not None:
                stack.enter_context(cuda_stand_in())
                Cuda(self._gpu, meter).install(patches)
            conversion.install(patches)
            libraries.install(patches)
            stack.enter_context(PredictedMode(meter.place, _remark))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


def about(gpu: Gpu | None) -> Mapping[str, Any]:
    """What the header of a predicted trace says over that of a measured one."""
    if gpu is None:
        return {"source": "predicted"}
    device = {"name": gpu.hardware.name, "total_bytes": gpu.total_memory}
    return {
        "source": "predicted",
        "target": gpu.hardware.key,
        "devices": {"cpu": {"name": "host memory", "total_bytes": None}}
        | {f"cuda:{index}": device for index in range(gpu.count)},
    }


def _remark(code: str, text: str) -> None:
    session = recording.active()
    if session is not None:
        session.warn(code, text)
