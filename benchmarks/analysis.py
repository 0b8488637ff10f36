"""What it costs to open a trace: read, attribute, find the peaks, draw 2 000 points, list the peak.

    python benchmarks/analysis.py [events ...]

Traces are of a GPT trained with AdamW, made up but shaped like real ones. Every stage is the
fastest of three runs, each of which begins with the file.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import itertools

from memprof.analyze import Analysis, grouped_top, report_document
from memprof.trace import load
from tests.synthetic import synthetic_training

RUNS = 3
POINTS = 2_000
LIMIT_SECONDS_PER_MILLION = 2.0
STAGES = ("read", "attribute", "peaks", "points", "live", "report")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("events", type=int, nargs="*", default=[200_000, 1_000_000])
    print(f"{'events':>10} {'MB':>6} " + " ".join(f"{s:>9}" for s in STAGES) + f"{'total':>10}")
    within = [measured(events) for events in parser.parse_args().events]
    return 0 if all(within) else 1


def measured(events: int) -> bool:
    """Prints one line of the table; says whether the total stays within the limit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        path.write_bytes(synthetic_training(events))
        runs = [timed(path) for _ in range(RUNS)]
        megabytes = path.stat().st_size / 1e6
    stages = [min(times) for times in zip(*runs, strict=True)]
    total = sum(stages)
    columns = " ".join(f"{seconds:>7.3f} s" for seconds in stages)
    print(f"{events:>10,} {megabytes:>6.1f} {columns} {total:>7.3f} s")
    return total <= LIMIT_SECONDS_PER_MILLION * max(1.0, events / 1e6)


def timed(path: Path) -> list[float]:
    """Seconds that each of `STAGES` takes on a trace file."""
    clock = [time.perf_counter()]

    def lap(stage: Callable[[], object]) -> None:
        stage()
        clock.append(time.perf_counter())

    analysis = Analysis(load(path))
    clock.append(time.perf_counter())
    lap(lambda: analysis.attribution)
    device = analysis.device(analysis.devices[0])
    lap(lambda: (device.peak, device.category_peaks))
    lap(lambda: device.downsample(buckets=POINTS // 2))
    lap(lambda: grouped_top(device.peak, 20))
    lap(lambda: report_document(analysis))
    return [later - earlier for earlier, later in itertools.pairwise(clock)]


if __name__ == "__main__":
    sys.exit(main())
