"""Where the program is: the module, the phase and the step of each thread."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from memprof.record.journal import Journal, now_ns
from memprof.record.nvtx_ranges import NvtxRanges
from memprof.trace.schema import FORWARD_PHASES

#: What a step's beginning is: guessed by memprof, declared by the user, or the very first.
GUESSED, DECLARED, FIRST = 0, 1, 2

sequence_number = torch._C._autograd._get_sequence_nr


@dataclass(slots=True)
class OpenPhase:
    """A phase that has begun and not ended; `is_range` if it is an NVTX range of the program's."""

    number: int
    name: str
    parent: int
    begin_ns: int
    by_user: bool = False
    batch: int = -1
    tokens: int = -1
    context: int = -1
    range: object = None
    is_range: bool = False


@dataclass(slots=True)
class Scope:
    """One thread's place in the program.

    Attributes:
        module, phase: string number and phase number that an allocation made now takes.
        calls: modules being called, outermost first, each with the module number before it.
        phases: open phases, outermost first.
    """

    thread: int
    module: int = 0
    phase: int = 0
    calls: list[tuple[object, int]] = field(default_factory=list)
    phases: list[OpenPhase] = field(default_factory=list)

    @property
    def in_user_phase(self) -> bool:
        """Whether a phase that the user named is open."""
        return any(phase.by_user for phase in self.phases)

    @property
    def innermost(self) -> OpenPhase | None:
        """The innermost phase that is no NVTX range."""
        return next((phase for phase in reversed(self.phases) if not phase.is_range), None)


def _nobody() -> None:
    pass


def _unheard(declared: bool) -> None:
    pass


def _nowhere(module: int, phase: int) -> None:
    pass


class Scopes:
    """The scopes of all threads, and the rows that phases and steps become.

    Attributes:
        met: is called on a thread that was not known before.
        moved: is told the calling thread's module and phase whenever they change, and notes from
            which autograd node on the module is at work.
        turned: is told of every turn of the program's loop, and whether the user declared it.
        threads: the scope of each thread, by its identity.
        paused: nothing is recorded for now; whatever has a hook lets everything through.
        steps: how many steps have begun.
    """

    def __init__(self, journal: Journal, on_boundary: Callable[[], None], nvtx: NvtxRanges) -> None:
        self.met: Callable[[], None] = _nobody
        self.moved: Callable[[int, int], object] = self._note_place
        self.turned: Callable[[bool], None] = _unheard
        self.paused = False
        self.steps = 0
        self._number = journal.strings.number
        self._phase_rows = journal.tables["phases"].add
        self._step_rows = journal.tables["steps"].add
        self._sequence_rows = journal.tables["sequences"].add
        self._next_phase = itertools.count(1).__next__
        self.threads: dict[int, Scope] = {}
        self._turn: tuple[int, int] | None = (0, FIRST)
        self._step_phase = 0
        self._turn_with_backward = False
        self._nvtx = nvtx
        self._step_range: object = None
        self._on_boundary = on_boundary
        self._loading: OpenPhase | None = None

    def current(self) -> Scope:
        """The calling thread's scope."""
        ident = threading.get_ident()
        scope = self.threads.get(ident)
        return scope if scope is not None else self._meet(ident)

    def _meet(self, ident: int) -> Scope:
        self.met()
        return self.threads.setdefault(ident, Scope(ident))

    def place(self, scope: Scope) -> tuple[int, int]:
        """Module and phase of the calling thread, which works for the thread of `scope`.

        Autograd runs the nodes of a device in a thread of its own, under the dispatch hook of the
        thread that called backward.
        """
        if threading.get_ident() == scope.thread:
            return scope.module, scope.phase
        here = self.threads.get(threading.get_ident())
        return (here.module, here.phase or scope.phase) if here else (scope.module, scope.phase)

    def renew(self) -> Scope:
        """A fresh scope for a thread that begins, whose identity may have been used before."""
        ident = threading.get_ident()
        scope = self.threads[ident] = Scope(ident)
        return scope

    def _move(self, scope: Scope) -> None:
        if scope.thread == threading.get_ident():
            self.moved(scope.module, scope.phase)

    def _note_place(self, module: int, phase: int) -> None:
        self._sequence_rows((threading.get_ident(), sequence_number(), module))

    def stay(self) -> None:
        """Notes no more where threads are: nobody listens."""
        self.moved = _nowhere

    def enter_module(self, scope: Scope, key: object, module: int) -> None:
        """Makes `module` (a string number) the innermost module of the scope."""
        scope.calls.append((key, scope.module))
        scope.module = module
        self.moved(module, scope.phase)

    def leave_module(self, scope: Scope, key: object) -> bool:
        """Leaves the innermost call of the module `key`; False if there is none."""
        calls = scope.calls
        for place in range(len(calls) - 1, -1, -1):
            if calls[place][0] is key:
                scope.module = calls[place][1]
                del calls[place:]
                self.moved(scope.module, scope.phase)
                return True
        return False

    def settle(self, scope: Scope) -> None:
        """Leaves the modules and phases that an interrupted call left open.

        Called where no model can be at work. PyTorch's hooks see a call that raised an
        `Exception`, but not one that a `KeyboardInterrupt` ended.
        """
        if scope.calls:
            scope.calls.clear()
            scope.module = 0
            self._move(scope)
            self._nvtx.nest(0)
            left = next(
                (p for p in scope.phases if p.name in FORWARD_PHASES and not p.is_range), None
            )
            if left is not None and not left.by_user:
                self.end(scope, left)

    def begin_loading(self, scope: Scope) -> None:
        """Opens the phase `load`, which lasts until the first other phase."""
        self._loading = self._open(scope, "load", False)

    def begin(self, scope: Scope, name: str, *, by_user: bool = False) -> OpenPhase:
        """Opens a phase inside the scope's innermost one."""
        if self._loading is not None:
            loading, self._loading = self._loading, None
            self._close_loading(loading)
        turns = self._begin_turn()
        phase = self._open(scope, name, by_user)
        if turns:
            self._step_phase = phase.number
        return phase

    def begin_range(self, scope: Scope, name: str) -> OpenPhase:
        """Opens a phase for an NVTX range of the program's; it begins no step."""
        phase = OpenPhase(self._next_phase(), name, scope.phase, now_ns(), is_range=True)
        self._enter(scope, phase)
        return phase

    def _close_loading(self, loading: OpenPhase) -> None:
        """Ends it without the program's ranges around what follows, which go on."""
        for scope in list(self.threads.values()):
            if loading in scope.phases:
                inside = scope.phases[scope.phases.index(loading) + 1 :]
                self.end(scope, loading)
                for phase in inside:
                    self._reopen(scope, phase)

    def _reopen(self, scope: Scope, phase: OpenPhase) -> None:
        phase.parent = scope.phase
        self._enter(scope, phase)

    def _open(self, scope: Scope, name: str, by_user: bool) -> OpenPhase:
        phase = OpenPhase(self._next_phase(), name, scope.phase, now_ns(), by_user)
        phase.range = self._nvtx.start(name, "phase")
        self._enter(scope, phase)
        return phase

    def _enter(self, scope: Scope, phase: OpenPhase) -> None:
        self._note(scope, phase, -1)
        scope.phases.append(phase)
        scope.phase = phase.number
        self._move(scope)

    def end(self, scope: Scope, phase: OpenPhase) -> None:
        """Closes a phase, and with it those inside it that were left open."""
        if phase not in scope.phases:
            return
        end_ns = now_ns()
        while True:
            innermost = scope.phases.pop()
            self._nvtx.end(innermost.range)
            self._note(scope, innermost, end_ns)
            if innermost is phase:
                break
        scope.phase = scope.phases[-1].number if scope.phases else 0
        self._move(scope)
        if phase.name == "backward":
            self.backward_ended()

    def backward_ended(self) -> None:
        """Ends the step if optimizers stepped inside the backward pass that is over now."""
        if self._turn_with_backward:
            self._turn_with_backward = False
            self.turn()

    def _note(self, scope: Scope, phase: OpenPhase, end_ns: int) -> None:
        if not phase.is_range:
            self._on_boundary()
        self._phase_rows(
            (
                phase.number,
                self._number(phase.name),
                phase.parent,
                scope.thread,
                phase.begin_ns,
                end_ns,
                phase.batch,
                phase.tokens,
                phase.context,
            )
        )

    def turn(self, *, declared: bool = False) -> None:
        """Ends the step; the next one counts only if something happens in it.

        Optimizers that step inside a backward pass, one for each parameter, end one step together:
        with that backward.
        """
        if not declared and torch._C._current_graph_task_id() != -1:
            self._turn_with_backward = True
            return
        if self._turn is None or declared:
            self._turn = (now_ns(), DECLARED if declared else GUESSED)
        self.turned(declared)

    def turn_at(self, phase: OpenPhase) -> None:
        """Lets a step begin with an open phase, unless one did."""
        if self._step_phase != phase.number:
            self._step_phase = phase.number
            self._note_step(phase.begin_ns, GUESSED)

    def step_unrecorded(self, scope: Scope, name: str) -> OpenPhase:
        """Begins a step in which nothing will be seen to happen, with a phase for all of it."""
        self._turn = self._turn or (now_ns(), GUESSED)
        return self.begin(scope, name)

    def _note_step(self, begin_ns: int, kind: int) -> None:
        self._nvtx.end(self._step_range)
        self._step_range = self._nvtx.start(f"step {self.steps}", "step")
        self.steps += 1
        self._step_rows((begin_ns, kind))

    def _begin_turn(self) -> bool:
        if self._turn is None:
            return False
        (begin_ns, kind), self._turn = self._turn, None
        self._note_step(begin_ns or now_ns(), kind)
        return True

    def close(self) -> None:
        """Ends every phase still open."""
        for scope in list(self.threads.values()):
            if scope.phases:
                self.end(scope, scope.phases[0])
        self._nvtx.end(self._step_range)
        self._nvtx.nest(0)
