"""What the system tells of the host's memory: of this process, and of its control group."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from memprof.record.journal import Journal

_STATM = "/proc/self/statm"
_ROLLUP = "/proc/self/smaps_rollup"
_GROUPS = Path("/sys/fs/cgroup")
_LONGEST = 4096
SLOW_SECONDS: Final = 1.0
_SHARE: Final = 0.01


class HostMemory:
    """Samples what the system tells without a helper (Linux)."""

    def __init__(self, journal: Journal) -> None:
        self._note = journal.sample
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._available = Path(_STATM).exists()
        self._group = control_group(_read("/proc/self/cgroup").decode()) if self._available else {}
        self._due = 0.0

    def sample(self) -> None:
        """Notes the resident bytes of this moment."""
        if self._available:
            pages = int(_read(_STATM).split()[1])
            self._note({"rss_bytes": pages * self._page}, "host")

    def sample_slowly(self) -> None:
        """Notes the proportional set and the control group: once a second, or as 1 % of the time.

        To tell the former, the kernel looks at every page of the process.
        """
        begun = time.monotonic()
        if not self._available or begun < self._due:
            return
        self._note(dict(self._measured()), "host")
        ended = time.monotonic()
        self._due = ended + max(SLOW_SECONDS, (ended - begun) / _SHARE)

    def _measured(self) -> Iterator[tuple[str, int]]:
        if (proportional := _proportional_bytes()) is not None:
            yield "pss_bytes", proportional
        for name, path in self._group.items():
            if (nbytes := _number_in(path)) is not None:
                yield name, nbytes


def control_group(membership: str, root: Path = _GROUPS) -> dict[str, Path]:
    """The files that tell what the process's control group uses and may use.

    Args:
        membership: the text of ``/proc/self/cgroup``.
        root: where control groups are mounted.

    Returns:
        Paths by the series that they feed; none where no limit is set for the group itself or for
        one above it. Of several limits the lowest counts.
    """
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            found = _limited(root, path, "memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            found = _limited(
                root / "memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes"
            )
        else:
            continue
        if found:
            return found
    return {}


def _limited(mount: Path, path: str, limit: str, usage: str) -> dict[str, Path]:
    group = mount / path.lstrip("/")
    groups = [each for each in (group, *group.parents) if each.is_relative_to(mount)]
    limits = [(nbytes, each) for each in groups if (nbytes := _limit_in(each / limit)) is not None]
    if not limits:
        return {}
    _, tightest = min(limits)
    return {"cgroup_limit_bytes": tightest / limit, "cgroup_used_bytes": tightest / usage}


def _limit_in(path: Path) -> int | None:
    nbytes = _number_in(path)
    return nbytes if nbytes is not None and nbytes < total_memory() else None


def _number_in(path: Path) -> int | None:
    """The number in a file; None where there is none, such as the word "max"."""
    try:
        return int(_read(str(path)))
    except (OSError, ValueError):
        return None


def _proportional_bytes() -> int | None:
    try:
        lines = _read(_ROLLUP).splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith(b"Pss:")), None)
    return None if found is None else int(found.split()[1]) << 10


def _read(path: str) -> bytes:
    """A short file, with as few steps as can be: the program waits at each for its interpreter."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, _LONGEST)
    finally:
        os.close(file)


def total_memory() -> int:
    """Bytes of memory in this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
