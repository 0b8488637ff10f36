"""The fake world in which a program runs to be predicted."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import torch

from memprof.predict.changes.install import install as make_changes
from memprof.predict.cluster.ranks import join
from memprof.predict.fake import conversion, files, libraries
from memprof.predict.fake.mode import PredictedMode
from memprof.predict.fake.workspaces import KernelWorkspaces
from memprof.predict.gpu import Gpu
from memprof.predict.options import PredictOptions
from memprof.predict.rules import attention, check_names, rules_without
from memprof.predict.target.accelerator import cuda_stand_in
from memprof.predict.target.cuda import Cuda
from memprof.predict.target.meter import Meter
from memprof.record import session as recording
from memprof.record.patches import Patches


class World:
    """The fake world around a program: entered before the recording begins, left after it.

    Args:
        options: what the program finds, and what is changed of it.

    Raises:
        UsageError: if there is no rule of a name.
    """

    def __init__(self, options: PredictOptions) -> None:
        self._options = options
        self._gpu = options.target
        self._without = check_names(options.without)
        self._stack = ExitStack()

    def __enter__(self) -> World:
        gc.collect()  # what has died is not to be taken for what was there before
        with self._stack as stack:
            patches, meter = Patches(), Meter()
            stack.callback(patches.undo)
            stack.enter_context(torch.compiler.set_stance("force_eager"))
            stack.enter_context(torch.autograd.set_multithreading_enabled(False))
            if self._gpu is not None:
                stack.enter_context(cuda_stand_in())
                self._present(self._gpu, meter, patches)
            conversion.install(patches)
            libraries.install(patches)
            files.install(patches, _remark)
            stack.enter_context(self._mode(meter, stack))
            make_changes(self._options.changes, patches)
            if self._options.ranks is not None:
                join(self._options.ranks, self._options.rank, self._options.strategy, patches)
            self._stack = stack.pop_all()
        return self

    def _present(self, gpu: Gpu, meter: Meter, patches: Patches) -> None:
        Cuda(gpu, meter).install(patches)
        if "attention_kernels" not in self._without:
            attention.install(patches, gpu)

    def _mode(self, meter: Meter, stack: ExitStack) -> PredictedMode:
        workspaces = KernelWorkspaces(self._gpu, rules_without(self._without))
        stack.callback(workspaces.close)
        return PredictedMode(meter.place, _remark, workspaces)

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
