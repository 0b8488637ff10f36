"""Notes each OutOfMemoryError the first time it is seen, while what filled the memory is alive."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

import torch

from memprof.record.journal import Journal

_OF_THE_HOST = "DefaultCPUAllocator: "


class OutOfMemory:
    """Looks at errors on their way through the program, and lets them go on untouched.

    Args:
        journal: takes the fact, and is flushed to the file then.
        module: names the module at work.
        look: samples the allocator as closely as can be; allocates nothing on a device.
    """

    def __init__(
        self, journal: Journal, module: Callable[[], str], look: Callable[[], None]
    ) -> None:
        self._journal = journal
        self._module = module
        self._look = look
        self._latest = (0, 0)

    def passing(self, error: BaseException) -> None:
        """Notes `error` if it is one of these and has not been noted yet."""
        if not is_out_of_memory(error) or self._is_known(error):
            return
        self._journal.fact(
            "out_of_memory",
            {
                "message": str(error),
                "module": self._module(),
                "grad": torch.is_grad_enabled(),
            },
        )
        self._look()
        self._journal.flush()

    def _is_known(self, error: BaseException) -> bool:
        """Whether it passed before: then its traceback has grown.

        To hold the error, or to mark it, would keep tensors alive or change it.
        """
        (known, length), new = self._latest, _length(error.__traceback__)
        self._latest = id(error), new
        return id(error) == known and new > length


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a device or on the host."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _OF_THE_HOST in str(error)


def _length(traceback: TracebackType | None) -> int:
    length = 0
    while traceback is not None:
        length, traceback = length + 1, traceback.tb_next
    return length
