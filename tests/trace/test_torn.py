"""A file that ends anywhere is read up to there, and says that it ends early."""

from __future__ import annotations

import gzip
import io
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from memprof.errors import TraceFileError
from memprof.trace import Trace, load, read
from tests.trace_builder import TraceBuilder


def two_flushes() -> bytes:
    """A file in two flushes, each with strings, phases, births, deaths and labels of its own."""
    build = TraceBuilder()
    for turn in range(2):
        build.step()
        with build.phase(f"forward {turn}"):
            kept = [build.alloc(100 * n, op=f"op{turn}", label="gradient") for n in range(4)]
            build.free(kept[0], kept[2])
            build.workspace(50)
        build.fact("call", {"turn": turn})
        build.flush()
    return build.to_bytes()


WHOLE = two_flushes()
HEADER_END = WHOLE.index(b"\n") + 1
LINE_ENDS = [place for place, byte in enumerate(WHOLE) if byte == 0x0A]


def cut(length: int) -> Trace:
    return read(io.BytesIO(WHOLE[:length]))


def contents(trace: Trace) -> tuple[object, ...]:
    rows, labels = trace.allocations, trace.labels
    arrays = (
        rows.nbytes,
        rows.death,
        trace.events.time_ns,
        labels.allocation,
        trace.steps.begin_ns,
    )
    return (trace.strings, trace.facts, trace.complete, *(values.tolist() for values in arrays))


def whole_line_end(length: int) -> int:
    """Where the last line ends of which at most its comma and its newline are cut away."""
    return max(end + 1 for end in LINE_ENDS if length >= end - (WHOLE[end - 1 : end] == b","))


def test_a_file_cut_anywhere_reads_as_its_whole_lines_do() -> None:
    read_at_line_ends = {end + 1: contents(cut(end + 1)) for end in LINE_ENDS}
    assert len(set(map(str, read_at_line_ends.values()))) > 10
    for length in range(HEADER_END, len(WHOLE)):
        trace, whole = cut(length), whole_line_end(length)
        assert contents(trace) == read_at_line_ends[whole]
        assert trace.dropped_lines == (length > whole)


def test_every_line_that_is_whole_counts() -> None:
    events = [len(cut(end + 1).events) for end in LINE_ENDS]

    assert events == sorted(events)
    assert set(events) == {0, 6, 12}


@pytest.mark.parametrize("lost", [0, 1])
def test_a_last_line_that_lost_only_its_end_still_counts(lost: int) -> None:
    after_events = next(end for end in LINE_ENDS if len(cut(end + 1).events) == 6)

    trace = cut(after_events - lost)

    assert WHOLE[after_events - 1 :].startswith(b",\n")
    assert (len(trace.events), trace.dropped_lines) == (6, 0)


def test_a_closing_line_without_its_newline_closes() -> None:
    assert cut(len(WHOLE) - 1).complete
    assert cut(len(WHOLE) - 1).summary == cut(len(WHOLE)).summary
    assert not cut(len(WHOLE) - 2).complete


def test_births_whose_events_are_lost_are_forgotten_with_their_labels() -> None:
    build = TraceBuilder()
    build.alloc(1, label="gradient", tensor="float32[1]")
    build.flush()
    build.alloc(2, label="parameter", tensor="float32[2]")
    lines = build.to_bytes().splitlines(keepends=True)
    event_lines = [n for n, line in enumerate(lines) if line.startswith(b'{"k":"events"')]

    trace = read(io.BytesIO(b"".join(lines[: event_lines[1]])))

    assert trace.allocations.nbytes.tolist() == [1]
    assert trace.labels.allocation.tolist() == [0]
    assert trace.details.allocation.tolist() == [0]


def test_births_in_a_phase_that_was_never_written_fall_outside_all_phases() -> None:
    build = TraceBuilder()
    with build.phase("forward"):
        build.alloc(1)
        build.workspace(2)
    lines = build.to_bytes(complete=False).splitlines(keepends=True)
    torn = b"".join(line for line in lines if not line.startswith(b'{"k":"phases"'))

    trace = read(io.BytesIO(torn))

    assert trace.allocations.phase.tolist() == [0]
    assert trace.workspaces.phase.tolist() == [0]
    with pytest.raises(TraceFileError, match="phase refers to nothing"):
        read(io.BytesIO(torn + b'{"k":"end"}],"summary":{}}\n'))


@pytest.mark.parametrize("length", [1, 10, 60, HEADER_END - 20, HEADER_END - 2])
def test_a_file_cut_inside_its_first_line_is_refused(length: int) -> None:
    with pytest.raises(TraceFileError, match=r"^<memory>: (not a memprof trace|damaged)"):
        cut(length)


def test_a_torn_archive_says_so(tmp_path: Path) -> None:
    path = tmp_path / "trace.json.gz"
    path.write_bytes(gzip.compress(WHOLE)[:-20])

    with pytest.raises(TraceFileError, match=r"cannot be read: .*end-of-stream"):
        load(path)


def test_garbage_in_the_middle_is_damage_and_no_early_end() -> None:
    lines = WHOLE.splitlines(keepends=True)
    chance = random.Random(1)
    for number in range(1, len(lines) - 1):
        garbled = bytearray(lines[number])
        del garbled[chance.randrange(len(garbled) - 1)]
        text = b"".join([*lines[:number], bytes(garbled), *lines[number + 1 :]])
        if text.count(b"\n") == len(lines):
            with pytest.raises(TraceFileError, match="damaged"):
                read(io.BytesIO(text))


ROOT = Path(__file__).parents[2]
PROGRAM = """
    import sys
    from tests.trace_builder import TraceBuilder
    from memprof.trace import TraceWriter

    build = TraceBuilder()
    with open(sys.argv[1], "wb", buffering=0) as file:
        build._writer._sink = file
        file.write(build._sink.getvalue())
        number = 0
        while True:
            build.free(build.alloc(number))
            number += 1
            if number % 1000 == 0:
                build.flush()
                print(number, flush=True)
"""


def test_a_program_killed_while_it_writes_leaves_what_it_had_flushed(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    code = textwrap.dedent(PROGRAM)
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as program:
        assert program.stdout is not None
        flushed = [int(program.stdout.readline()) for _ in range(3)][-1]
        time.sleep(0.05)
        program.send_signal(signal.SIGKILL)
        flushed = max([flushed, *map(int, program.stdout.read().split())])

    trace = load(path)

    assert program.returncode == -signal.SIGKILL
    assert not trace.complete
    assert flushed <= len(trace.allocations) <= flushed + 1000
    assert trace.allocations.nbytes.tolist() == list(range(len(trace.allocations)))
