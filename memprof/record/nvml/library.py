"""NVML through pynvml, with the many ways in which a driver says no sorted into four."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

_FILE: Final = "libnvidia-ml.so.1"
# Return codes of nvml.h.
_NEVER: Final = frozenset({3, 4, 13, 25})  # not supported, no permission, no such function, version
_DEVICE_GONE: Final = frozenset({2, 6, 15, 16, 28})  # bad handle, not found, lost, reset required
_DRIVER_GONE: Final = frozenset({1, 9, 12, 18})  # uninitialised, not loaded, no library, mismatch
_MISSING_FUNCTION: Final = 13
_NO_PERMISSION: Final = 4


class NvmlError(Exception):
    """NVML has no answer; the text is the driver's own."""


class NoAnswerError(NvmlError):
    """Not this time: busy, timed out, or for a reason that the driver does not know either."""


class RefusedError(NvmlError):
    """This question is never answered here: not supported, not permitted, or too new a question.

    Attributes:
        permission: whether it is a matter of rights.
    """

    def __init__(self, text: str, permission: bool) -> None:
        super().__init__(text)
        self.permission = permission


class DeviceGoneError(NvmlError):
    """The device has fallen off the bus, needs a reset, or was taken away."""


class DriverGoneError(NvmlError):
    """There is no driver, or there is none any more."""


class Library:
    """The driver's library; everything that asks it may raise the errors above."""

    def __init__(self) -> None:
        self._pynvml: Any = _module()
        self.ask("nvmlInit")

    def constant(self, name: str) -> Any:
        """One of pynvml's constants; None where this version has none of that name."""
        return getattr(self._pynvml, name, None)

    def ask(self, function: str, *arguments: Any) -> Any:
        """Calls one of pynvml's functions."""
        pynvml = self._pynvml
        try:
            return getattr(pynvml, function)(*arguments)
        except pynvml.NVMLError as error:
            raise _sorted(error.value, str(error)) from None
        except (pynvml.NVMLLibraryMismatchError, AttributeError) as error:
            raise _sorted(_MISSING_FUNCTION, str(error)) from None

    def first_of(self, *questions: Callable[[], Any]) -> Any:
        """The answer to the first question that this driver understands."""
        for question in questions[:-1]:
            try:
                return question()
            except RefusedError as error:
                if error.permission:
                    raise
        return questions[-1]()

    def close(self) -> None:
        """Gives the library back; it stays loaded."""
        self.ask("nvmlShutdown")


def _module() -> ModuleType:
    try:
        ctypes.CDLL(_FILE)  # first, as it costs little where there is none
    except OSError:
        raise DriverGoneError(f"this machine has no NVIDIA driver ({_FILE} is missing)") from None
    try:
        import pynvml
    except ImportError:
        raise DriverGoneError("nvidia-ml-py is not installed: pip install nvidia-ml-py") from None
    return pynvml  # type: ignore[no-any-return]


def _sorted(code: int, text: str) -> NvmlError:
    if code in _NEVER:
        return RefusedError(text, code == _NO_PERMISSION)
    if code in _DEVICE_GONE:
        return DeviceGoneError(text)
    if code in _DRIVER_GONE:
        return DriverGoneError(text)
    return NoAnswerError(text)
