"""What is measured around the tensors: host, CUDA's allocator, driver."""

from __future__ import annotations

from typing import Protocol

from memprof.record.cuda import CudaMemory, cuda_uuids
from memprof.record.guard import Guard
from memprof.record.host import HostMemory
from memprof.record.journal import Journal
from memprof.record.nvml.sampler import Sampler


class Surroundings(Protocol):
    """Sampled at every beat of the journal, at phase boundaries, and where memory runs out."""

    def start(self) -> None:
        """Begins to sample, with the journal's thread."""

    def at_boundary(self) -> None:
        """Notes what CUDA's allocator says at the border of two phases."""

    def look_closely(self) -> None:
        """Notes all that is known of CUDA's allocator at this moment, at any cost."""

    def stop(self) -> None:
        """Ends, with a last sample."""


class Machine:
    """The machine that the program runs on."""

    def __init__(self, journal: Journal, guard: Guard) -> None:
        host, cuda = HostMemory(journal), CudaMemory(journal)
        self._journal = journal
        self._sample_host = guard(host.sample)
        self._sample_blocks = guard(cuda.sample_with_blocks)
        self._sampler = Sampler(journal, guard.note, host.sample_slowly, cuda_uuids)
        self.at_boundary = guard(cuda.sample)
        self.look_closely = guard(cuda.sample_closely)

    def start(self) -> None:
        """Begins to sample, with the journal's thread."""
        self._journal.start(self._sample_host, self._sample_blocks)
        self._sampler.start()

    def stop(self) -> None:
        """Ends, with a last sample."""
        self._sampler.stop()
        self._sample_host()
        self.at_boundary()


class NoMachine:
    """Where a program runs on fake tensors: what this machine holds says nothing of it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def start(self) -> None:
        """Begins with the journal's thread, which samples nothing."""
        self._journal.start()

    def at_boundary(self) -> None:
        """Nothing."""

    def look_closely(self) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""
