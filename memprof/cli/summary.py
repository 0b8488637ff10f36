"""What is said when a traced program has ended: on stderr, as stdout is the program's."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from memprof.units import format_bytes

if TYPE_CHECKING:
    from memprof.cli.recording import Recording


def print_summary(recording: Recording, shown: Path, *, brief: bool = False) -> None:
    """Says where the trace is, what the peak was, and which command to type next.

    Args:
        recording: the recording that ended.
        shown: the trace file as the user knows it.
        brief: the user is in a hurry: do not read the trace.
    """
    if recording.problem:
        print(f"memprof: nothing was recorded: {recording.problem}", file=sys.stderr)
        return
    peaks, *more = [""] if brief else _found(recording.output)
    print(f"memprof: wrote {shown}{peaks}", file=sys.stderr)
    for line in more:
        print(f"memprof: {line}", file=sys.stderr)
    print(f"Next: memprof report {shown}", file=sys.stderr)


def _found(path: Path) -> list[str]:
    """The peak of every device, and a line for what a self-check found."""
    from memprof.analyze import analyze
    from memprof.analyze.self_check import self_check
    from memprof.cli.render.self_check import self_check_lines
    from memprof.trace import load

    try:
        analysis = analyze(load(path))
        peaks = [(name, analysis.device(name).peak) for name in analysis.devices]
        checked = [*self_check_lines(self_check(analysis.trace))]
    except Exception as error:
        return [f", which cannot be read back: {error}"]
    told = [
        f"{format_bytes(peak.requested_bytes)} on {name} at {peak.seconds:.3f} s"
        for name, peak in peaks
    ]
    return [f": peak {', '.join(told)}" if told else ": no tensor was seen", *checked]
