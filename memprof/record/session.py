"""One recording: starts every recorder, stops it, and leaves the process as it was."""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, BinaryIO

import torch

from memprof.errors import AlreadyTracingError
from memprof.ranks import rank_and_world
from memprof.record import interrupts
from memprof.record.autograd import Backward
from memprof.record.containers import tensors_in
from memprof.record.dynamo import keep_out
from memprof.record.facts import Facts
from memprof.record.guard import Guard
from memprof.record.host import total_memory
from memprof.record.imports import ImportWatch
from memprof.record.journal import Journal, now_ns
from memprof.record.labels.caches import MODULE as CACHE_MODULE
from memprof.record.labels.caches import Caches
from memprof.record.labels.communication import Communication
from memprof.record.labels.existing import Existing
from memprof.record.labels.inputs import RootCalls
from memprof.record.labels.optimizers import Optimizers
from memprof.record.labels.parameters import Parameters
from memprof.record.labels.sharded import ShardedWeights
from memprof.record.modules import ModuleCalls, Paths
from memprof.record.nvtx_ranges import NvtxRanges
from memprof.record.out_of_memory import OutOfMemory
from memprof.record.patches import Patches
from memprof.record.recompute import Recomputations
from memprof.record.recorders import Choice, choose
from memprof.record.scopes import OpenPhase, Scope, Scopes
from memprof.record.self_check import SelfCheck
from memprof.record.storages import LABEL
from memprof.record.streams import RecordedStreams
from memprof.record.surroundings import Machine, NoMachine, Surroundings
from memprof.record.user_ranges import UserRanges
from memprof.record.views import Views
from memprof.trace import CATEGORIES

_active: Session | None = None
_starting = threading.Lock()
keep_out(__package__)


def _forget_in_child() -> None:
    global _active
    session, _active = _active, None
    if session is not None:
        session.forget()


os.register_at_fork(after_in_child=_forget_in_child)


@dataclass(frozen=True, slots=True)
class Options:
    """How to record.

    Attributes:
        recorder: "auto", "native" or "dispatch"; "fake" for a predicted run.
        stack_bytes: allocations of at least this many bytes keep their Python stack.
        detail: "modules", or "ops": the native observer notes the operator of every allocation.
        announce: is told what keeps the program waiting, or is not as was asked for.
        self_check: count what some steps allocate without the recording.
        nvtx: make NVTX ranges though nothing says that a tool listens.
        about: more for the trace's header, over what is known of this machine.
    """

    recorder: str = "auto"
    stack_bytes: int = 64 << 10
    detail: str = "modules"
    announce: Callable[[str], None] = lambda text: None
    self_check: bool = False
    nvtx: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)


def active() -> Session | None:
    """The recording that runs in this process, if any."""
    return _active


class Session:
    """A recording into `sink`; `start` and `stop` are called once each, on the same thread.

    Attributes:
        is_predicted: whether the program runs on fake tensors.
    """

    def __init__(self, sink: BinaryIO, options: Options) -> None:
        choice = choose(options.recorder, options.detail, options.announce)
        journal = self.journal = Journal(sink, {**header(choice), **options.about})
        guard = self._guard = Guard(journal)
        patches = self._patches = Patches()
        self.is_predicted = choice.name == "fake"
        self._surroundings: Surroundings = (
            NoMachine(journal) if self.is_predicted else Machine(journal, guard)
        )
        self._nvtx = NvtxRanges(options.nvtx, self.live_bytes)
        scopes = self.scopes = Scopes(journal, self._surroundings.at_boundary, self._nvtx)
        recorder = self._recorder = choice.make(journal, scopes, guard, options.stack_bytes)
        storages = self.storages = recorder.storages
        facts = self._facts = Facts(journal)
        paths = self._paths = Paths(journal.strings)
        self._backward = Backward(storages, scopes, recorder.graph, guard)
        self._parameters = Parameters(storages, scopes, paths, facts, guard)
        self._recomputations = Recomputations(scopes, guard)
        self._optimizers = Optimizers(storages, scopes, recorder.graph, facts, guard)
        self._caches = Caches(storages, scopes, paths, facts, guard, patches)
        views = self._views = Views(journal, storages)
        roots = self._roots = RootCalls(
            storages, scopes, self._parameters, self._caches, views, facts, paths, guard
        )
        self._calls = ModuleCalls(
            scopes, paths, guard, roots.called, roots.returned, *recorder.inner_calls
        )
        if self._nvtx.on:
            self._calls.show(self._nvtx)
            journal.sampled = self._nvtx.count
        ranges = self._user_ranges = UserRanges(scopes, journal, guard)
        self._out_of_memory = OutOfMemory(
            journal, self._module_at_work, self._surroundings.look_closely
        )
        self.raised = guard(self._out_of_memory.passing)
        self._calls.raised = self._backward.raised = self.raised
        self._self_check: SelfCheck | None = None
        if options.self_check:
            self._self_check = SelfCheck(
                recorder, scopes, journal, guard, self._find_more, options.announce
            )
            self._calls.root_returned = guard(self._self_check.root_returned)
        self._communication = Communication(
            storages, scopes, journal.strings.number, guard, predicted=self.is_predicted
        )
        self._streams = RecordedStreams(storages, journal, guard)
        sharded = ShardedWeights(storages, scopes, facts, guard, patches)
        watched = {
            CACHE_MODULE: guard(self._caches.install),
            **sharded.watched(),
            **recorder.watched(patches),
            **ranges.watched(patches),
        }
        self._imports = ImportWatch(watched)
        if choice.fell_back:
            options.announce(f"the dispatch hook records: {choice.reason}")

    def start(self) -> None:
        """Begins to record.

        Raises:
            AlreadyTracingError: if a recording runs already.
        """
        global _active
        with _starting:
            if _active is not None:
                raise AlreadyTracingError(
                    "memprof.trace() is already recording in this process: one trace at a time; "
                    "mark parts of it with memprof.phase(...)"
                )
            _active = self
        scope = self.scopes.renew()
        self._recorder.enroll()
        self._find_existing(scope)
        for part in (
            self._calls,
            self._backward,
            self._parameters,
            self._optimizers,
            self._recomputations,
            self._communication,
            self._streams,
            self._recorder,
            self._user_ranges,
        ):
            part.install(self._patches)
        interrupts.install(self._patches)
        if self._self_check is not None:
            self._self_check.install(self._patches)
        self._imports.start()
        self._patches.on_undo(self._imports.stop)
        self.scopes.begin_loading(scope)
        self._surroundings.start()
        self._recorder.start(scope)

    def _module_at_work(self) -> str:
        return self.journal.strings[self.scopes.current().module]

    def _find_more(self, scope: Scope) -> None:
        self._find_existing(scope, found=True)

    def _find_existing(self, scope: Scope, *, found: bool = False) -> None:
        try:
            existing = Existing()
            existing.note_births(self.storages, scope, found=found)
            existing.note_labels(
                scope,
                self.storages,
                self._paths,
                self._parameters,
                self._recorder.graph,
                self._optimizers,
                self._caches,
            )
        except Exception as error:
            self._guard.note(error, "existing objects")

    def stop(self) -> OSError | None:
        """Ends the recording; returns what kept the trace from being written, if anything."""
        global _active
        if self._self_check is not None:
            self._guard(self._self_check.stop)()
        self._recorder.stop()
        self._patches.undo()
        self._guard(self._label_models)()
        self._roots.ended(self.scopes.current())
        self._guard(self._views.ended)()
        self.scopes.close()
        self._surroundings.stop()
        summary = {
            "end_ns": now_ns(),
            "allocations": self.storages.next_id(),
            "live_bytes": self.live_bytes(),
            **self._recorder.counts(),
        }
        self.storages.forget()
        _active = None
        return self.journal.close(summary)

    def catch_up(self) -> None:
        """Writes all that is known so far, as `stop` does, and goes on."""
        self._guard(self._label_models)()
        self.journal.flush()

    def live_bytes(self) -> int:
        """What is alive now of all that the recording knows."""
        followed = sum(ref.nbytes for ref in list(self.storages.live.values()))
        return followed + self._recorder.live_bytes()

    def _label_models(self) -> None:
        """Labels what models hold in the end, those too that were never called."""
        scope, done = self.scopes.current(), set()
        for module in Existing().modules:
            owner = self._paths.owner_of(module)
            if id(owner) not in done:
                done.add(id(owner))
                self._parameters.label_owner(scope, owner)

    def forget(self) -> None:
        """In a forked child: records nothing, as the journal's thread stayed in the parent."""
        self._recorder.forget()
        self._patches.undo()

    def tag(self, value: Any, category: str, name: str) -> None:
        """Notes the user's own word on every tensor in `value`."""
        scope = self.scopes.current()
        for path, tensor in tensors_in(value):
            full = f"{name}.{path}" if name and path else name or path
            number = self.journal.strings.number(full)
            self.storages.relabel(tensor, LABEL[f"tag:{category}"], scope, number)

    def end_step(self) -> None:
        """Ends a turn of the program's loop."""
        self.scopes.settle(self.scopes.current())
        self.scopes.turn(declared=True)
        self._guard(self._views.stepped)()

    def begin_phase(self, name: str) -> tuple[Scope, OpenPhase]:
        """Opens a phase that the user named."""
        scope = self.scopes.current()
        return scope, self.scopes.begin(scope, name, by_user=True)

    def warn(self, code: str, text: str) -> None:
        """Notes a remark in the trace."""
        self.journal.warn(code, text)


def header(choice: Choice) -> Mapping[str, Any]:
    """What is known of the program and the machine when a recording begins."""
    known = rank_and_world()
    return {
        "program": list(sys.argv),
        "pid": os.getpid(),
        "rank": None if known is None else known[0],
        "started_ns": time.time_ns(),
        "begin_ns": now_ns(),
        "memprof": memprof_version(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "recorder": choice.name,
        "recorder_reason": choice.reason,
        "devices": {"cpu": {"name": "host memory", "total_bytes": total_memory()}},
        "categories": list(CATEGORIES),
    }


def memprof_version() -> str:
    """The installed version of memprof."""
    try:
        return version("torch-memprof")
    except PackageNotFoundError:
        return "0+unknown"
