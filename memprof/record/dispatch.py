"""The torch dispatch hook: sees every operator's results and names their storages.

It cannot see memory that an operator takes and gives back inside itself (`workspaces` measures
that once per operator and size) nor what compiled code takes inside its graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass_type

from memprof.record import operators
from memprof.record.containers import plain_parts
from memprof.record.dynamo import CAN_SKIP
from memprof.record.guard import Guard
from memprof.record.scopes import Scope
from memprof.record.storages import Storages
from memprof.record.workspaces import Workspaces

Handling = tuple[int, int, bool]  # effect, string number of the name, composite


class Handlings(dict[Any, Handling]):
    """How each operator met so far is handled, for all threads.

    Args:
        consider: is told of each new operator, to measure what it uses inside itself.
    """

    def __init__(
        self,
        consider: Callable[[torch._ops.OpOverload, int], None] | None,
        number: Callable[[str], int],
    ) -> None:
        super().__init__()
        self._consider = consider
        self._number = number

    def learn(self, func: Any) -> Handling:
        """Decides how a new operator is handled."""
        op = self._number(str(func))
        if isinstance(func, torch._ops.OpOverload):
            handling = (operators.effect(func), op, operators.is_composite(func))
            if self._consider is not None:
                self._consider(func, op)
        else:  # a higher-order operator
            handling = (operators.ALLOCATES, op, False)
        return self.setdefault(func, handling)


class DispatchHook(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the operators of one thread; `close` turns it into a pass-through.

    Args:
        scope: the thread's scope; every allocation takes its module and phase from there.
    """

    supports_higher_order_operators = True

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Lets compiled code run compiled; without this PyTorch silently skips it."""
        return True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return not CAN_SKIP

    def __init__(
        self,
        storages: Storages,
        scope: Scope,
        workspaces: Workspaces,
        guard: Guard,
        handlings: Handlings,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.scope = scope
        self.open = True
        self._storages = storages
        self._live = storages.live
        self._workspaces = workspaces
        self._probed = workspaces.probed
        self._guard = guard
        self._handlings = handlings

    def __torch_dispatch__(  # one call an operator: written for speed
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if not self.open:
            return func(*args, **kwargs) if kwargs else func(*args)
        if types and any(map(is_traceable_wrapper_subclass_type, types)):
            return NotImplemented  # the subclass unwraps first; its inner operators come here
        effect, op, composite = self._handlings.get(func) or self._handlings.learn(func)
        if composite:
            with self:
                result = func.decompose(*args, **(kwargs or {}))
            if result is not NotImplemented:
                return result
        if effect == operators.READS:
            return func(*args, **kwargs) if kwargs else func(*args)
        if op in self._probed:
            return self._probe(func, args, kwargs or {}, effect, op)
        result = func(*args, **kwargs) if kwargs else func(*args)
        try:
            if type(result) is torch.Tensor and effect == operators.ALLOCATES:
                storage = result.untyped_storage()
                if storage._cdata not in self._live:
                    self._storages.born(result, op, self.scope)
            else:
                self._note(result, effect, op)
        except Exception as error:
            if not self._note_parts(result, op):
                self._guard.note(error, "dispatch")
        return result

    def _probe(self, func: Any, args: Any, kwargs: Any, effect: int, op: int) -> Any:
        result, extra = self._workspaces.run(func, args, kwargs, op)
        try:
            self._note(result, effect, op)
            self._workspaces.note(extra, op, self.scope)
        except Exception as error:
            self._guard.note(error, "dispatch")
        return result

    def _note(self, result: Any, effect: int, op: int) -> None:
        if isinstance(result, torch.Tensor):
            if effect == operators.RESIZES:
                self._storages.resized(result.untyped_storage(), op, self.scope)
            else:
                for part in plain_parts(result):
                    self._storages.born(part, op, self.scope)
        elif isinstance(result, (tuple, list)):
            for item in result:
                self._note(item, effect, op)

    def _note_parts(self, result: Any, op: int) -> bool:
        """Tries a sparse or otherwise odd result part by part; False if that fails as well."""
        try:
            self._note(result, operators.ALLOCATES, op)
        except Exception:
            return False
        return True
