"""What a session asks of whatever observes memory; there are two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Protocol

from memprof.record.graph import Graph
from memprof.record.guard import Guard
from memprof.record.journal import Journal
from memprof.record.modules import EnterInner, LeaveInner
from memprof.record.patches import Patches
from memprof.record.scopes import Scope, Scopes
from memprof.record.storages import Storages


class Recorder(Protocol):
    """Notes births and deaths of memory.

    Attributes:
        storages: what lives, for those who know what it is.
        graph: what autograd holds of it.
        inner_calls: note the usual call of a module inside another one, and its return.
    """

    storages: Storages
    graph: Graph
    inner_calls: tuple[EnterInner, LeaveInner]

    def install(self, patches: Patches) -> None:
        """Patches what it must; undoing `patches` restores it."""

    def watched(self, patches: Patches) -> Mapping[str, Callable[[ModuleType], None]]:
        """Modules of PyTorch's, by name, to be patched when the program imports them."""

    def enroll(self) -> None:
        """Makes ready for what existed before; called on the thread that starts the recording."""

    def start(self, scope: Scope) -> None:
        """Begins to observe the calling thread."""

    def pause(self) -> bool:
        """Observes nothing of what memory is for until `resume`; False where it cannot."""

    def resume(self) -> bool:
        """Ends a pause; False where that must wait."""

    def count(self, native: Any) -> bool:
        """Lets `native` count what this thread allocates; False where a profiler does already."""

    def uncount(self, native: Any) -> None:
        """Takes back what `count` did."""

    def stop(self) -> None:
        """Ends all observation; labels may still come."""

    def counts(self) -> Mapping[str, Any]:
        """What it counted, for the trace's summary; called once, when no label comes any more."""

    def live_bytes(self) -> int:
        """What is alive beyond `storages.live`."""

    def forget(self) -> None:
        """Ends all observation in a forked child, writing nothing."""


MakeRecorder = Callable[[Journal, Scopes, Guard, int], Recorder]
