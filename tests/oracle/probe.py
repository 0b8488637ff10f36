"""Runs programs in a process whose CPU allocator is counted, and writes down both truths.

    LD_PRELOAD=interposer.so python -m tests.oracle.probe interposer.so native plain out.json 'GPT'

Every program runs twice from the same seed: first without tracing, which also lets oneDNN take
the scratch memory that it keeps, then traced.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import importlib
import json
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch

import memprof
from memprof.record.session import active
from tests.oracle.counter import Counter
from tests.oracle.outcome import Claim, Outcome, Program


class CannotRunError(Exception):
    """Raised by a program that cannot run here."""


class Probe:
    """What a program is given: `traced` to run its part in, `holds` to say what it knows."""

    def __init__(self, counter: Counter, recorder: str, saved: list[int] | None) -> None:
        self._counter = counter
        self._recorder = recorder
        self.tracing = saved is not None
        self.saved = [] if saved is None else list(saved)
        self.outcome = Outcome()

    @contextmanager
    def traced(self) -> Iterator[None]:
        """Records the block, and counts beside it."""
        out, counter = self.outcome, self._counter
        gc.collect()
        begun = counter.live()
        counter.reset_peak()
        if not self.tracing:
            yield
            out.growth = counter.peak() - begun
            return
        # "auto" and not "native": where the program's own profiler runs around the recording.
        recorder = "auto" if self._recorder == "native" else self._recorder
        with memprof.trace(recorder=recorder, detail="ops") as tracing:
            out.before = counter.live() - known_bytes()
            counter.reset_peak()
            try:
                yield
            finally:
                out.growth = counter.peak() - begun
                out.true_peak = counter.peak() - out.before
                out.true_end = counter.live() - out.before
        self._read(tracing)

    def _read(self, tracing: memprof.api.Tracing) -> None:
        out, trace, device = self.outcome, tracing.trace, tracing.analysis.device("cpu")
        out.recorder = trace.header["recorder"]
        out.traced_peak = device.peak.requested_bytes
        out.peak_with_workspaces = device.peak_with_workspaces.bytes
        out.traced_end = device.end.requested_bytes
        out.by_category = device.peak.by_category
        out.category_peaks = {name: peak.bytes for name, peak in device.category_peaks.items()}
        out.events = len(trace.events)
        out.remarks = {remark.code: remark.text for remark in trace.warnings}
        out.ops = sorted({trace.strings[number] for number in trace.allocations.op})
        out.modules = sorted({row.module for row in device.peak.live().rows()})
        out.phases = [trace.strings[number] for number in trace.phases.name[1:]]
        for claim in out.claims:
            claim.measured = device.at_time(claim.time_ns).by_category[claim.category]

    def holds(self, category: str, *tensors: torch.Tensor | None) -> None:
        """Claims that a category holds exactly the storages of these tensors at this moment."""
        if self.tracing:
            claim = Claim(category, time.perf_counter_ns(), bytes_of(tensors))
            self.outcome.claims.append(claim)
            counted = self._counter.live() - self.outcome.before
            self.outcome.levels.append((counted, known_bytes(of_allocator=True)))

    @contextmanager
    def activations(self, *others: torch.Tensor, and_bytes: int = 0) -> Iterator[None]:
        """Claims that, at the end of the block, activations are what autograd saved in it.

        The run without tracing counts what autograd saves, less the storages of `others` and with
        `and_bytes` that it does not; the traced run, in which no hook may stand between autograd
        and the recording, claims as much.
        """
        if self.tracing:
            yield
            claim = Claim("activations", time.perf_counter_ns(), self.saved.pop(0))
            self.outcome.claims.append(claim)
            return
        kept: dict[int, torch.UntypedStorage] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            yield
        for other in others:
            kept.pop(other.untyped_storage()._cdata, None)
        self.saved.append(and_bytes + sum(storage.nbytes() for storage in kept.values()))
        kept.clear()  # the graph keeps `pack`, and so this

    def value(self, *values: torch.Tensor) -> None:
        """Notes results, to be compared bit by bit with those of the run without tracing."""
        for value in (part for whole in values for part in _parts(whole)):
            whole = value.detach().contiguous()
            raw = ctypes.string_at(whole.data_ptr(), whole.nbytes)
            self.outcome.hashes.append(hashlib.sha256(raw).hexdigest())

    def fact(self, name: str, value: object) -> None:
        """Notes something a test wants to know of the traced run."""
        self.outcome.facts[name] = value

    def skip(self, reason: str) -> None:
        raise CannotRunError(reason)


def known_bytes(*, of_allocator: bool = False) -> int:
    """Bytes that the running recording says are alive, of PyTorch's allocator or altogether."""
    session = active()
    assert session is not None
    return session._recorder.live_bytes() if of_allocator else session.live_bytes()


def bytes_of(tensors: tuple[torch.Tensor | None, ...]) -> int:
    """Bytes of the distinct storages under some tensors, strided, sparse or made of others."""
    sizes: dict[int, int] = {}
    for tensor in tensors:
        for part in _parts(tensor):
            storage = part.untyped_storage()
            sizes[storage._cdata] = storage.nbytes()
    return sum(sizes.values())


def _parts(tensor: torch.Tensor | None) -> list[torch.Tensor]:
    if tensor is None:
        return []
    if hasattr(tensor, "__tensor_flatten__"):  # it has no memory of its own
        inner = [getattr(tensor, name) for name in tensor.__tensor_flatten__()[0]]
        return [part for each in inner for part in _parts(each)]
    return [tensor._indices(), tensor._values()] if tensor.is_sparse else [tensor]


def run(program: Program, counter: Counter, recorder: str) -> Outcome:
    """Runs a program without tracing and, from the same seed, with it."""
    try:
        plain = _run_once(program, Probe(counter, recorder, None))
        traced = _run_once(program, Probe(counter, recorder, plain.saved))
    except CannotRunError as reason:
        return Outcome(skipped=str(reason))
    except Exception:
        return Outcome(error=traceback.format_exc())
    traced.outcome.plain_hashes = plain.outcome.hashes
    traced.outcome.plain_growth = plain.outcome.growth
    return traced.outcome


def _run_once(program: Program, probe: Probe) -> Probe:
    gc.collect()
    torch.manual_seed(0)
    program.run(probe)
    return probe


def main(library: str, recorder: str, group: str, results: str, *chosen: str) -> None:
    torch.set_num_threads(1)
    counter = Counter(Path(library))
    module = importlib.import_module(f"tests.oracle.programs.{group}")
    programs: dict[str, Program] = module.PROGRAMS
    gc.freeze()  # or every program would look through all that is imported, several times
    outcomes = {}
    for name in chosen or programs:
        begun = time.perf_counter()
        outcomes[name] = asdict(run(programs[name], counter, recorder))
        print(f"{name}: {time.perf_counter() - begun:.2f} s", file=sys.stderr)
    Path(results).write_text(json.dumps(outcomes))


if __name__ == "__main__":
    main(*sys.argv[1:])
