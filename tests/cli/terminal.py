"""The command line as somebody types it: a process, its two streams and its exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLAIN = {"TERM": "xterm-256color", "OMP_NUM_THREADS": "1"}
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")


def environment(**more: str) -> dict[str, str]:
    """An environment without the settings of whoever runs the tests, in which memprof imports."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {
        **kept,
        **PLAIN,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "dashboard")]),
        **more,
    }


def memprof(*words: object, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs ``memprof words…`` in a folder and waits for it."""
    return python("-m", "memprof", *words, cwd=cwd, **more)


def python(*words: object, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs ``python words…`` in a folder and waits for it."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
