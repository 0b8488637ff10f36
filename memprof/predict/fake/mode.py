"""The mode that makes every tensor of the program a fake one, and answers what fakes cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    UnsupportedOperatorException,
)

from memprof.errors import MemprofError
from memprof.predict.fake.data_dependent import shaped_by_data
from memprof.predict.fake.kernels import CORRECTED, INSTEAD
from memprof.predict.fake.places import asking_line
from memprof.predict.fake.stand_ins import NUMBER
from memprof.predict.fake.values import computed, follow, is_assumed, tensors_in, value_of
from memprof.predict.fake.workspaces import KernelWorkspaces

_aten = torch.ops.aten
_UNSHAPED = (DynamicOutputShapeException, DataDependentOutputException)
_UNKNOWN = (UnsupportedOperatorException, NotImplementedError)
Place = Callable[[torch.UntypedStorage, torch.device], None]
Remark = Callable[[str, str], None]


class CannotPredictError(MemprofError):
    """The program does something whose memory cannot be known without running it."""


class PredictedMode(FakeTensorMode):  # type: ignore[no-untyped-call]
    """Runs operators on shapes alone; small values that steer the program are known.

    Args:
        place: is told the device of every storage.
        remark: is told, with a code, where an answer was taken for granted.
        workspaces: what kernels take beside their results.
    """

    def __init__(self, place: Place, remark: Remark, workspaces: KernelWorkspaces) -> None:
        super().__init__(allow_non_fake_inputs=True)
        self._within = False  # an operator whose rule calls others
        self._place = place
        self._remark = remark
        self._workspaces = workspaces

    @property
    def avoid_device_init(self) -> bool:
        """Yes: there is no device to be made ready."""
        return True

    def may_turn_const(self, t: torch.Tensor) -> bool:
        """No: `values` knows what PyTorch's own constants would."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        outermost = isinstance(func, torch._ops.OpOverload) and not self._within
        if not outermost or func.namespace == "prim":
            return super().__torch_dispatch__(func, types, args, kwargs)
        if func is _aten._local_scalar_dense.default:
            return self._item(args[0])
        if func is _aten.equal.default:
            return bool(computed(func, args, kwargs))
        self._within = True
        try:
            taken = self._workspaces.take(self, func, args)
            result = self._result(func, types, args, kwargs)
            del taken
        finally:
            self._within = False
        if result is NotImplemented:
            return result
        for tensor in tensors_in(result):
            if isinstance(tensor, FakeTensor):
                self._place(tensor.untyped_storage(), tensor.fake_device)
        follow(func, args, kwargs, result)
        return result

    def _result(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        instead, corrected = INSTEAD.get(func), CORRECTED.get(func)
        if instead is not None:
            return instead(self, args, kwargs)
        try:
            result = super().__torch_dispatch__(func, types, args, kwargs)
            return result if corrected is None else corrected(self, args, result)
        except _UNSHAPED:
            result = shaped_by_data(self, func, args, kwargs, self._stood_in)
        except RuntimeError as error:
            if not _lacks_shapes(error):
                raise
            result = None
        if result is None:
            raise CannotPredictError(
                f"{asking_line()}: {func} gives no shapes without its data; an operator of your "
                "own learns to with torch.library.register_fake"
            )
        return result

    def _item(self, tensor: torch.Tensor) -> Any:
        known = value_of(tensor)
        value = torch.tensor(NUMBER).to(tensor.dtype) if known is None else known
        if known is None or is_assumed(tensor):
            self._stood_in("the value of a tensor, which depends on data", value.item())
        return value.item()

    def _stood_in(self, what: str, taken: object) -> None:
        line = asking_line()
        self._remark(f"stand_in {line}", f"{line}: asks for {what}: {taken} was taken")


def _lacks_shapes(error: RuntimeError) -> bool:
    return isinstance(error, _UNKNOWN) or "no fake impl" in str(error)
