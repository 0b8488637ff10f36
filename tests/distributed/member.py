"""One process of a program of two, its trace and what its own objects say.

    export WORLD_SIZE=2 LD_PRELOAD=interposer.so
    RANK=0 python -m tests.distributed.member shards FOLDER interposer.so

Every program runs from the same seed three times: without tracing first, which lets gloo and the
allocator take what they keep, then traced by each recorder.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed

import memprof
from tests.oracle.counter import Counter
from tests.oracle.outcome import Claim
from tests.oracle.probe import known_bytes

LIMIT = timedelta(seconds=40)
RECORDERS = ("native", "dispatch")


@dataclass
class Account:
    """What one process says of itself, in bytes; `facts` are what the program noted.

    `results` and `untraced_results` are hashes of what the program computed, with and without a
    recording.
    """

    claims: list[Claim] = field(default_factory=list)
    facts: dict[str, int] = field(default_factory=dict)
    true_peak: int = 0
    true_end: int = 0
    results: list[str] = field(default_factory=list)
    untraced_results: list[str] = field(default_factory=list)


class Member:
    """What a program is given: `traced` to run its part in, `holds` to say what it knows."""

    def __init__(self, folder: Path, counter: Counter, saved: list[int], recorder: str) -> None:
        self.rank = distributed.get_rank()
        self.world = distributed.get_world_size()
        self.recorder = recorder
        self.tracing = bool(recorder)
        self.account = Account()
        self._folder = folder
        self._counter = counter
        self.saved = saved

    @contextmanager
    def traced(self) -> Iterator[None]:
        """Records the block, and counts beside it."""
        gc.collect()
        if not self.tracing:
            yield
            return
        with memprof.trace(self._folder / "trace.json", recorder=self.recorder):
            before = self._counter.live() - known_bytes()
            self._counter.reset_peak()
            yield
            self.account.true_peak = self._counter.peak() - before
            self.account.true_end = self._counter.live() - before

    def holds(self, category: str, *tensors: torch.Tensor | None, and_bytes: int = 0) -> None:
        """Claims that a category holds exactly the storages of these tensors at this moment.

        Args:
            category: one of memprof's categories.
            tensors: what it holds.
            and_bytes: what it holds beside them, where no tensor can be asked.
        """
        if self.tracing:
            wait_for_other_threads()
            expected = bytes_of(tensors) + and_bytes
            self.account.claims.append(Claim(category, time.perf_counter_ns(), expected))

    @contextmanager
    def activations(self, *others: torch.Tensor) -> Iterator[None]:
        """Claims that, at the end of the block, activations are what autograd saved in it.

        The run without tracing counts what autograd saves, less the storages of `others`; the
        traced run claims as much.
        """
        if self.tracing:
            yield
            claim = Claim("activations", time.perf_counter_ns(), self.saved.pop(0))
            self.account.claims.append(claim)
            return
        kept: list[torch.Tensor] = []

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            kept.append(tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            yield
        keys = {local(other).untyped_storage()._cdata for other in others}
        own = [each for each in kept if local(each).untyped_storage()._cdata not in keys]
        self.saved.append(bytes_of(own))
        kept.clear()  # the graph keeps `pack`, and so this

    def computed(self, *tensors: torch.Tensor) -> None:
        """Notes what the program has computed, to be the same with and without a recording."""
        for tensor in tensors:
            plain = local(tensor.detach()).contiguous().numpy()
            self.account.results.append(hashlib.sha256(plain.tobytes()).hexdigest())

    def fact(self, name: str, value: int) -> None:
        self.account.facts[name] = value


def wait_for_other_threads() -> None:
    """Waits until gloo's threads sleep: they let go of a tensor just after the wait for it ends."""
    quiet = 0
    while quiet < 3:
        time.sleep(0.002)
        quiet = quiet + 1 if others_sleep() else 0


def others_sleep() -> bool:
    own = threading.get_native_id()
    tasks = [task for task in Path("/proc/self/task").iterdir() if int(task.name) != own]
    states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks]
    return "R" not in states


def local(tensor: torch.Tensor) -> torch.Tensor:
    """This process's part of a tensor, as plain as it gets."""
    for inner in ("_local_tensor", "elem"):
        tensor = getattr(tensor, inner, tensor)
    return tensor


def bytes_of(tensors: Iterable[torch.Tensor | None]) -> int:
    """Bytes of the distinct storages under this process's part of some tensors."""
    sizes: dict[int, int] = {}
    for tensor in tensors:
        if tensor is not None:
            storage = local(tensor).untyped_storage()
            sizes[storage._cdata] = storage.nbytes()
    return sum(sizes.values())


def main(group: str, folder: str, library: str) -> None:
    from tests.distributed.programs import GROUPS

    torch.set_num_threads(1)
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    store = f"file://{folder}/store"
    distributed.init_process_group("gloo", store, LIMIT, world_size=world, rank=rank)
    counter = Counter(Path(library))
    for name, program in GROUPS[group].items():
        untraced = run(program.run, Member(Path(), counter, [], ""))
        for recorder in RECORDERS:
            own = Path(folder, f"{name}, {recorder}")
            own.mkdir(exist_ok=True)
            member = Member(own, counter, list(untraced.saved), recorder)
            member.account.untraced_results = untraced.account.results
            run(program.run, member)
            account = json.dumps(asdict(member.account))
            Path(own, f"account.rank{rank}.json").write_text(account)
    distributed.barrier()
    distributed.destroy_process_group()


def run(program: Callable[[Member], None], member: Member) -> Member:
    torch.manual_seed(0)
    program(member)
    return member


if __name__ == "__main__":
    main(*sys.argv[1:])
