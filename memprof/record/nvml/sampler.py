"""The sampler: a thread of its own that asks NVML, and the system about the host's memory.

Whatever a driver does, the program goes on: calls into it release the interpreter, and a driver
that does not return keeps nobody waiting but this thread.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from memprof.record.host import SLOW_SECONDS
from memprof.record.journal import OWN_THREADS, Journal
from memprof.record.nvml.devices import Visible, all_devices, cuda_devices, visible_devices
from memprof.record.nvml.library import (
    DeviceGoneError,
    DriverGoneError,
    Library,
    NoAnswerError,
    NvmlError,
    RefusedError,
)
from memprof.record.nvml.readings import memory
from memprof.record.nvml.watch import Watch

INTERVAL_SECONDS: Final = 0.05
LONGEST_SECONDS: Final = 5.0
#: Asking the driver takes at most this part of the time.
SHARE: Final = 0.02
_PATIENCE_SECONDS: Final = 1.0
_NO_DEVICE: Final = "the driver knows of no device"
_HIDDEN: Final = "CUDA_VISIBLE_DEVICES hides every device"

Uuids = Callable[[], Sequence[str] | None]


class Sampler:
    """Samples every device that the program may use; the host's memory with them or instead.

    Args:
        journal: takes the samples.
        failed: is told of errors of memprof's own.
        host: samples what the system tells of the host's memory.
        cuda_uuids: the UUIDs of CUDA's devices in CUDA's order; None while CUDA is not in use.

    Attributes:
        turns: how many times it has sampled.
    """

    def __init__(
        self,
        journal: Journal,
        failed: Callable[[Exception, str], None],
        host: Callable[[], None],
        cuda_uuids: Uuids,
    ) -> None:
        self._journal = journal
        self._failed = failed
        self._host = host
        self._cuda_uuids = cuda_uuids
        self._library: Library | None = None
        self._watches: list[Watch] = []
        self._settled = self._in_use = False
        self.turns = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{OWN_THREADS}sampler", daemon=True)

    def start(self) -> None:
        """Begins to sample; asks nothing of the driver on the calling thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends with a last sample; leaves a driver that hangs to itself."""
        self._stopping.set()
        self._thread.join(_PATIENCE_SECONDS)
        if self._thread.is_alive():
            self._journal.warn(
                "nvml.hang", "NVML did not return from a question: its samples end before the trace"
            )

    def _run(self) -> None:
        try:
            self._open()
            while not self._stopping.wait(self._sample()):
                pass
            self._sample()
            self._close()
        except Exception as error:
            self._failed(error, "sampler")

    def _open(self) -> None:
        try:
            library = Library()
            devices = all_devices(library)
            visible = visible_devices(devices, os.environ)
        except NvmlError as error:
            self._note_absence(str(error))
            return
        if not visible.devices:
            self._note_absence(_HIDDEN if devices else _NO_DEVICE)
            return
        self._library = library
        self._watch(library, visible)

    def _note_absence(self, reason: str) -> None:
        self._journal.fact("nvml", {"available": False, "reason": reason, "devices": []})

    def _watch(self, library: Library, visible: Visible) -> None:
        known = {watch.device.uuid: watch for watch in self._watches}
        self._watches = [
            known.get(device.uuid) or Watch(library, device, self._journal)
            for device in visible.devices
        ]
        about = [
            self._about(library, watch, f"cuda:{place}" if visible.ordered else None)
            for place, watch in enumerate(self._watches)
        ]
        driver = _or_none(lambda: library.ask("nvmlSystemGetDriverVersion"))
        self._journal.fact("nvml", {"available": True, "driver": driver, "devices": about})

    @staticmethod
    def _about(library: Library, watch: Watch, device: str | None) -> Mapping[str, Any]:
        total = _or_none(lambda: memory(library, watch.device.handle)["total_bytes"])
        uuid, name = watch.device.uuid, watch.device.name
        return {"uuid": uuid, "name": name, "total_bytes": total, "device": device}

    def _sample(self) -> float:
        """Samples once; returns the seconds until the next time."""
        self._host()
        begun = time.perf_counter()
        if self._library is not None:
            self._sample_devices(self._library)
        self.turns += 1
        if self._library is None:
            return SLOW_SECONDS
        return pause(time.perf_counter() - begun)

    def _sample_devices(self, library: Library) -> None:
        try:
            self._settle(library)
            for watch in self._watches:
                if not watch.gone:
                    watch.sample(self.turns, self._in_use)
        except DriverGoneError as error:
            self._library = None
            self._journal.warn("nvml.driver", f"the NVIDIA driver went away: {error}")

    def _settle(self, library: Library) -> None:
        """Once CUDA is in use, its own word on its devices counts."""
        uuids = None if self._settled else self._cuda_uuids()
        if uuids is None:
            return
        self._settled = True
        try:
            self._watch(library, cuda_devices(library, uuids))
            self._in_use = True
        except (DeviceGoneError, RefusedError, NoAnswerError) as error:
            self._journal.warn("nvml.devices", f"NVML does not know the devices of CUDA: {error}")

    def _close(self) -> None:
        if self._library is not None:
            _or_none(self._library.close)


def _or_none(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except NvmlError:
        return None


def pause(cost_seconds: float, interval_seconds: float = INTERVAL_SECONDS) -> float:
    """Seconds until the next sample, so that sampling takes no more than `SHARE` of the time."""
    return min(max(interval_seconds, cost_seconds / SHARE - cost_seconds), LONGEST_SECONDS)
