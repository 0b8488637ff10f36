"""Opens a phase `recompute` while a checkpointed part of the program runs again in backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.utils import checkpoint

from memprof.record.guard import Guard
from memprof.record.patches import Patches
from memprof.record.scopes import OpenPhase, Scope, Scopes

PHASE = "recompute"


class Recomputations:
    """Follows checkpointing without reentrant autograd, whatever function was checkpointed.

    PyTorch breaks a recomputation off with an exception once it has what it needs, and checks the
    result afterwards: only then have the broken-off calls given up what they held.
    """

    def __init__(self, scopes: Scopes, guard: Guard) -> None:
        self._scopes = scopes
        self._guard = guard
        self._open: list[tuple[Scope, OpenPhase]] = []

    def install(self, patches: Patches) -> None:
        """Wraps the two places of `torch.utils.checkpoint` between which it recomputes."""
        frame = getattr(checkpoint, "_CheckpointFrame", None)
        hook = getattr(checkpoint, "_recomputation_hook", None)
        if hasattr(frame, "check_recomputed_tensors_match"):
            patches.replace(frame, "check_recomputed_tensors_match", self._wrap_check)
            patches.replace(hook, "__enter__", self._wrap_enter)

    def _wrap_enter(self, enter: Callable[..., Any]) -> Callable[..., Any]:
        def entered(hook: Any) -> Any:
            if self._scopes.paused:
                return enter(hook)
            try:
                scope = self._scopes.current()
                self._open.append((scope, self._scopes.begin(scope, PHASE)))
            except Exception as error:
                self._guard.note(error, "recomputation")
            return enter(hook)

        return entered

    def _wrap_check(self, check: Callable[..., Any]) -> Callable[..., Any]:
        def checked(frame: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                if self._open:
                    self._scopes.end(*self._open.pop())
            except Exception as error:
                self._guard.note(error, "recomputation")
            return check(frame, *args, **kwargs)

        return checked


def recomputing(scope: Scope) -> bool:
    """Whether the innermost phase of a scope is a recomputation."""
    innermost = scope.innermost
    return innermost is not None and innermost.name == PHASE
