"""Programs started as people start them: by torchrun, and by torch.multiprocessing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from memprof.trace import Trace, load
from tests.cli.terminal import environment, memprof
from tests.distributed.member import RECORDERS

TRAIN = """
    import torch
    from torch import distributed
    from torch.nn.parallel import DistributedDataParallel

    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    model = DistributedDataParallel(torch.nn.Linear(256, 64))
    model(torch.ones(8, 256)).sum().backward()
    distributed.barrier()
    distributed.destroy_process_group()
"""

SPAWN = """
    import torch
    from torch import distributed, multiprocessing

    import memprof


    def train(rank, store):
        torch.set_num_threads(1)
        distributed.init_process_group("gloo", store, world_size=2, rank=rank)
        with memprof.trace("trace.json") as recording:
            tensor = torch.full((1000,), float(rank))
            distributed.all_reduce(tensor)
        print(recording.path, flush=True)
        distributed.barrier()
        distributed.destroy_process_group()


    if __name__ == "__main__":
        multiprocessing.spawn(train, args=("file://{folder}/store",), nprocs=2)
"""
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def launched(*words: str, folder: Path, **more: str) -> tuple[int, str, str]:
    """Runs a program and all processes that it starts; its exit code and its two streams."""
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        told = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, *told


def names_in(trace: Trace) -> set[str]:
    return {trace.strings[number] for number in trace.labels.name}


@pytest.mark.parametrize("recorder", RECORDERS)
def test_torchrun(recorder: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(dedent(TRAIN))
    command = ("-m", "memprof", "run", "-o", "trace.json", "--", "train.py")
    code, _, stderr = launched(*TORCHRUN, *command, folder=tmp_path, MEMPROF_RECORDER=recorder)
    assert code == 0, stderr
    written = [path.name for path in sorted(tmp_path.glob("*.json"))]
    assert written == ["trace.rank0.json", "trace.rank1.json"]
    for rank, name in enumerate(written):
        trace = load(tmp_path / name)
        assert trace.complete
        assert (trace.header["rank"], trace.header["recorder"]) == (rank, recorder)
        assert "reducer.bucket.0" in names_in(trace)
        assert f"memprof: wrote {name}: peak " in stderr
        assert f"Next: memprof report {name}\n" in stderr
        report = memprof("report", name, cwd=tmp_path)
        assert report.returncode == 0
        assert f"rank {rank}" in report.stdout
        assert "communication" in report.stdout


def test_spawned_processes_ask_their_process_group(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(dedent(SPAWN).replace("{folder}", str(tmp_path)))
    code, stdout, stderr = launched("train.py", folder=tmp_path)
    assert code == 0, stderr
    assert sorted(stdout.split()) == ["trace.rank0.json", "trace.rank1.json"]
    for rank in range(2):
        assert load(tmp_path / f"trace.rank{rank}.json").header["rank"] == rank
    assert not (tmp_path / "trace.json").exists()
