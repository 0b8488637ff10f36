"""Counts what some steps allocate with the recording on, and what others do while it is paused.

The allocators do the counting, through the observer's place in PyTorch, so that both kinds of steps
are counted by the same few atomic additions. What the difference means is decided by `analyze`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Final

import torch
from torch.autograd import profiler

from memprof.record.guard import Guard
from memprof.record.journal import Journal
from memprof.record.labels.caches import CACHE_NAMES
from memprof.record.native import build
from memprof.record.patches import Patches
from memprof.record.recorder import Recorder
from memprof.record.scopes import OpenPhase, Scope, Scopes
from memprof.record.workspaces import profiler_taken

#: Each step of the check: recorded (r) or paused (p), in capitals where it is counted. Two of a
#: kind follow each other so that a program which alternates is told from a recorder that adds, and
#: the first paused step is left out as code may be compiled for it.
PLAN: Final = "rrpPPRRPP"
PHASE: Final = "self-check"
_CALL, _OPTIMIZER, _DECLARED = range(3)


class SelfCheck:
    """Goes through `PLAN`, one step a turn of the program's loop, on the recording's own thread.

    Args:
        find: notes and labels what has come to be during a pause.
        announce: is told, in building the observer, what keeps the program waiting.
    """

    def __init__(
        self,
        recorder: Recorder,
        scopes: Scopes,
        journal: Journal,
        guard: Guard,
        find: Callable[[Scope], None],
        announce: Callable[[str], None],
    ) -> None:
        self._recorder, self._scopes, self._journal = recorder, scopes, journal
        self._find, self._announce = find, announce
        self._advance = guard(self._turn)
        self._interrupt = guard(self._profiler_begins)
        self._native: Any = None
        self._place = 0
        self._counted: list[dict[str, Any]] = []
        self._step = 0
        self._loop = _CALL
        self._phase: tuple[Scope, OpenPhase] | None = None
        self._counting = ExitStack()
        self._over = False
        self._thread = 0

    def install(self, patches: Patches) -> None:
        """Begins to follow the program's turns, if they can be counted here."""
        try:
            self._native = build.load(self._announce)
        except build.UnavailableError as error:
            self._give_up(f"counting needs the allocator observer: {error}")
            return
        self._thread = threading.get_ident()
        self._scopes.turned = self._turned
        patches.replace(profiler, "_enable_profiler", self._wrap_enable)

    def stop(self) -> None:
        """Ends the check, done or not, before the recording ends."""
        if not self._over:
            self._give_up(
                f"it needs {len(PLAN)} whole steps on the recording's thread and saw "
                f"{self._place}; memprof.step() marks the end of one"
            )
        self._resume()

    def _wrap_enable(self, enable: Callable[..., Any]) -> Callable[..., Any]:
        def _enable_profiler(*args: Any, **kwargs: Any) -> Any:
            self._interrupt()
            return enable(*args, **kwargs)

        return _enable_profiler

    def _profiler_begins(self) -> None:
        if not self._over and PLAN[self._place] not in "r":
            self._give_up("torch.profiler ran meanwhile, and PyTorch has one place for the two")

    def _turned(self, declared: bool) -> None:
        self._advance(_DECLARED if declared else _OPTIMIZER)

    def root_returned(self, kwargs: Mapping[str, Any], result: Any) -> None:
        """After a model's outermost call: one with a cache is a turn of a generation loop."""
        if self._loop == _CALL and not torch.is_grad_enabled() and _has_cache(kwargs, result):
            self._advance(_CALL)

    def _turn(self, loop: int) -> None:
        """Ends a step; begins anew where it turns out that something else ends them."""
        if threading.get_ident() != self._thread:
            return
        if self._over:
            self._resume()
            return
        if loop > self._loop:
            self._counting.close()
            self._resume()
            self._counted.clear()
            self._loop, self._place = loop, 0
        if loop == self._loop:
            self._end_step()

    def _end_step(self) -> None:
        self._keep(self._native.counted())
        self._place += 1
        if self._place == len(PLAN):
            self._end(self._document())
            return
        if PLAN[self._place] == "p":
            self._begin_to_count()
        if not self._over and self._switch(paused=PLAN[self._place] in "pP"):
            self._step = self._scopes.steps - self._scopes.paused
            self._native.counted()

    def _keep(self, counted: Mapping[str, tuple[int, int, int]]) -> None:
        if PLAN[self._place].isupper():
            self._counted.append(
                {
                    "turn": self._place,
                    "step": self._step,
                    "recorded": PLAN[self._place] == "R",
                    "devices": {
                        name: dict(zip(("allocations", "bytes", "peak_bytes"), counts, strict=True))
                        for name, counts in counted.items()
                    },
                }
            )

    def _begin_to_count(self) -> None:
        if not self._recorder.count(self._native):
            self._give_up("another profiler runs, and PyTorch has one place for it and for us")
            return
        self._counting.enter_context(profiler_taken())
        self._counting.callback(self._recorder.uncount, self._native)
        self._counting.callback(self._native.count, False)
        self._native.count(True)

    def _switch(self, *, paused: bool) -> bool:
        self._end_phase()
        if paused and not self._scopes.paused:
            self._scopes.paused = self._recorder.pause()
        elif not paused:
            self._resume()
        if paused != self._scopes.paused:
            self._give_up("the program is inside a torch dispatch mode of its own")
            return False
        if paused:
            scope = self._scopes.current()
            self._phase = scope, self._scopes.step_unrecorded(scope, PHASE)
        return True

    def _end_phase(self) -> None:
        if self._phase is not None:
            (scope, phase), self._phase = self._phase, None
            self._scopes.end(scope, phase)

    def _resume(self) -> None:
        if self._scopes.paused and self._recorder.resume():
            self._scopes.paused = False
            self._end_phase()
            self._find(self._scopes.current())

    def _give_up(self, reason: str) -> None:
        self._end({"reason": reason})

    def _end(self, document: Mapping[str, Any]) -> None:
        self._over = True
        self._counting.close()
        self._resume()
        self._journal.fact("self_check", document)

    def _document(self) -> Mapping[str, Any]:
        paused = sum(kind in "pP" for kind in PLAN)
        return {"steps": self._counted, "paused": paused}


def _has_cache(kwargs: Mapping[str, Any], result: Any) -> bool:
    named: tuple[Any, ...] = (kwargs, result) if isinstance(result, dict) else (kwargs,)
    return any(dict.get(values, name) is not None for values in named for name in CACHE_NAMES)
