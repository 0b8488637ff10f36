"""Every error that memprof raises on purpose. Each message is one line: what, why, what to do."""

from __future__ import annotations


class MemprofError(Exception):
    """Base of all memprof errors; its text is shown to the user as it is."""


class TraceFileError(MemprofError):
    """A trace file cannot be read: missing, foreign, damaged, or of a newer format."""


class OutputExistsError(MemprofError):
    """The output file exists, and overwriting it was not asked for."""


class UsageError(MemprofError):
    """A call or a command line that cannot mean anything."""


class AlreadyTracingError(MemprofError):
    """`memprof.trace()` was entered while another trace was recording in this process."""


class MissingExtraError(MemprofError):
    """What was asked for needs packages that memprof does not install by itself."""


class OutOfDeviceMemoryError(MemprofError):
    """A device, simulated or foreseen, has not the memory that was asked of it."""
