"""cuBLAS has a workspace for each handle and stream, allocated at the first product."""

from __future__ import annotations

from typing import Any

import torch

from memprof.predict.rules.rule import Call, Held

_aten = torch.ops.aten
HOPPER_BYTES = 32 << 20
OTHER_BYTES = 2 * (4096 << 10) + 8 * (16 << 10)  # :4096:2:16:8, in KiB


class CublasWorkspace:
    """One for the thread of the program, one for the thread of autograd."""

    name = "cublas_workspace"
    source = "aten/src/ATen/cuda/CublasHandlePool.cpp, parseChosenWorkspaceSize"
    funcs: frozenset[Any] = frozenset(
        {
            _aten.mm.default,
            _aten.addmm.default,
            _aten.bmm.default,
            _aten.baddbmm.default,
            _aten.addmv.default,
            _aten.mv.default,
            _aten.dot.default,
        }
    )

    def held(self, call: Call) -> list[Held]:
        """The workspace of the handle that this thread uses."""
        nbytes = HOPPER_BYTES if call.gpu.major == 9 else OTHER_BYTES
        return [Held(nbytes, "cuBLAS workspace", "autograd" if call.in_backward else "program")]
