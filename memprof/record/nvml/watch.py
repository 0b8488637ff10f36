"""Watches one device: its memory at every sample, the rest at some, each answer one row."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from memprof.record.journal import Journal
from memprof.record.nvml.devices import Device
from memprof.record.nvml.library import DeviceGoneError, Library, NoAnswerError, RefusedError
from memprof.record.nvml.processes import (
    ESTIMATED,
    FOREIGN,
    LISTED,
    UNKNOWN,
    Before,
    before,
    running,
    share,
)
from memprof.record.nvml.readings import READINGS, Reading, Values, memory

_PROCESSES: Final = "processes"
_SAID: Final = {
    FOREIGN: "NVML does not list this process under its own number, as in a container: the only "
    "one that it can be is taken for it on {name}",
    ESTIMATED: "NVML does not tell how much of {name} this process uses: it is estimated as what "
    "the device uses, less what other processes use or used before",
    UNKNOWN: "NVML lists several processes on {name} and none under this one's number, as in a "
    "container: how much this process uses is not known",
}


class Watch:
    """One device's series, `nvml/<uuid>/...`.

    Attributes:
        gone: whether the device does not answer any more.
    """

    def __init__(self, library: Library, device: Device, journal: Journal) -> None:
        self.device = device
        self.gone = False
        self._library = library
        self._journal = journal
        self._refused: set[object] = set()
        self._earlier: Before | None = None
        self._how = LISTED

    def sample(self, turn: int, in_use: bool) -> None:
        """Notes what there is to note at sample number `turn`.

        Args:
            turn: counts samples from 0.
            in_use: whether this process uses CUDA.
        """
        try:
            values = self._asked(memory, self._read_memory)
            if values:
                self._note(values)
                self._asked(_PROCESSES, lambda: self._sample_processes(values, in_use))
            for reading in _due(turn):
                self._asked(reading.read, partial(self._sample_reading, reading))
        except DeviceGoneError as error:
            self.gone = True
            self._warn("gone", f"{self.device.name} does not answer any more: {error}")

    def _read_memory(self) -> Values:
        values = memory(self._library, self.device.handle)
        del values["total_bytes"]
        return values

    def _sample_processes(self, values: Values, in_use: bool) -> Values:
        used, pid = values["used_bytes"], os.getpid()
        listed = running(self._library, self.device.handle)
        if not in_use and not listed.get(pid):
            self._earlier = before(listed, used)
            return self._note({"other_processes_bytes": sum(filter(None, listed.values()))})
        found = share(listed, pid, used, self._earlier)
        if found.how != self._how:
            self._how = found.how
            self._say_how()
        own = {} if found.own_bytes is None else {"process_bytes": found.own_bytes}
        return self._note({**own, "other_processes_bytes": found.other_bytes})

    def _say_how(self) -> None:
        self._journal.fact("nvml_process", {"uuid": self.device.uuid, "how": self._how})
        if self._how in _SAID:
            self._warn(self._how, _SAID[self._how].format(name=self.device.name))

    def _sample_reading(self, reading: Reading) -> Values:
        return self._note(reading.read(self._library, self.device.handle))

    def _note(self, values: Values) -> Values:
        self._journal.sample(values, f"nvml/{self.device.uuid}")
        return values

    def _asked(self, what: object, ask: Callable[[], Values]) -> Values:
        """Asks what has not been refused; what is refused once is not asked for again."""
        if what in self._refused:
            return {}
        try:
            return ask()
        except RefusedError as error:
            self._refused.add(what)
            if error.permission or what in (memory, _PROCESSES):
                self._warn(
                    "refused", f"NVML does not tell everything of {self.device.name}: {error}"
                )
        except NoAnswerError as error:
            self._warn("missed", f"NVML did not answer for {self.device.name}: {error}")
        return {}

    def _warn(self, code: str, text: str) -> None:
        self._journal.warn(f"nvml.{code}.{self.device.uuid}", text)


def _due(turn: int) -> Iterable[Reading]:
    return (reading for reading in READINGS if turn % reading.every == 0)
