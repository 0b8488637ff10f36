"""`memprof.trace()` as its users meet it: contexts, decorators, files, refusals."""

import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
import torch

import memprof
from memprof.analyze import analyze
from memprof.errors import AlreadyTracingError, OutputExistsError, TraceFileError, UsageError


def test_a_trace_in_memory_knows_its_peak() -> None:
    with memprof.trace() as traced:
        before = torch.empty(1000)
        both = torch.empty(3000), before
        del both
        torch.empty(10)
    grown = traced.peak("cpu").requested_bytes - traced.analysis.device("cpu").end.requested_bytes
    assert grown == 4 * 3000
    assert sum(traced.peak().by_category.values()) == traced.peak().requested_bytes


def test_a_trace_on_disk_is_read_back(tmp_path: Path) -> None:
    with memprof.trace(tmp_path / "t.json") as traced:
        torch.empty(10)
    assert memprof.load(tmp_path / "t.json").complete
    assert traced.trace.source == str(tmp_path / "t.json")


def test_decorator_traces_every_call() -> None:
    tracing = memprof.trace()

    @tracing
    def work(size: int) -> int:
        return torch.empty(size).numel()

    assert work(5) == 5
    first = len(tracing.trace.events)
    assert work(7) == 7
    assert first > 0
    assert tracing.trace.complete


def test_forgotten_brackets_are_named() -> None:
    with pytest.raises(UsageError, match="brackets"):

        @memprof.trace
        def work() -> None: ...


def test_an_existing_file_is_kept_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text("precious")
    with pytest.raises(OutputExistsError, match="--force"), memprof.trace(path):
        raise AssertionError("the block ran")
    assert path.read_text() == "precious"
    with memprof.trace(path, force=True):
        pass
    assert memprof.load(path).complete


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    missing = tmp_path / "no" / "t.json"
    with pytest.raises(TraceFileError, match="cannot be written"), memprof.trace(missing):
        raise AssertionError("the block ran")
    with memprof.trace():  # the failed attempt left nothing active
        pass


def test_nested_traces_are_refused_and_the_outer_one_goes_on() -> None:
    with memprof.trace() as outer:
        with pytest.raises(AlreadyTracingError, match="one trace at a time"), memprof.trace():
            raise AssertionError("the block ran")
        kept = torch.empty(123)
    assert 123 * 4 in outer.trace.allocations.nbytes
    del kept


def test_the_trace_is_not_there_before_the_end() -> None:
    with memprof.trace() as traced, pytest.raises(UsageError, match="ended"):
        _ = traced.trace


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match="recorder"):
        memprof.trace(recorder="magic")
    with pytest.raises(UsageError, match="kv_cache"):
        memprof.tag(torch.empty(1), "kvcache")


def test_switched_off_by_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMPROF", "0")
    with memprof.trace(tmp_path / "t.json"):
        assert torch._C._len_torch_dispatch_stack() == 0
    assert not (tmp_path / "t.json").exists()


def test_the_users_exception_travels_on_without_our_frames() -> None:
    layer = torch.nn.Linear(3, 3)
    with pytest.raises(RuntimeError) as raised, memprof.trace() as traced:
        layer(torch.empty(2, 2))
    frames = traceback.extract_tb(raised.value.__traceback__)
    own = str(Path(memprof.__file__).parent) + os.sep
    assert not [frame for frame in frames if frame.filename.startswith(own)]
    assert any("RuntimeError" in remark.text for remark in traced.trace.warnings)


@pytest.mark.parametrize("recorder", ["native", "dispatch"])
@pytest.mark.parametrize("path", [None, "t.json"])
def test_a_trace_can_be_read_while_it_is_recorded(
    recorder: str, path: str | None, tmp_path: Path
) -> None:
    file = None if path is None else tmp_path / path
    with memprof.trace(file, recorder=recorder) as traced:
        layer = torch.nn.Linear(100, 100)
        so_far = traced.so_far()
        more = torch.empty(5000)
        later = traced.so_far()
    assert so_far.complete
    assert layer.weight.nbytes in so_far.allocations.nbytes
    assert more.nbytes not in so_far.allocations.nbytes
    assert more.nbytes in later.allocations.nbytes
    assert len(traced.trace.allocations) >= len(later.allocations) > len(so_far.allocations)
    weights = traced.analysis.device("cpu").end.by_category["weights"]
    assert analyze(so_far).device("cpu").end.by_category["weights"] == weights


def test_a_tag_outranks_what_memprof_concludes() -> None:
    layer = torch.nn.Linear(4, 4)
    with memprof.trace() as traced:
        memprof.tag([layer.weight], "kv_cache", name="odd")
    end = traced.analysis.device("cpu").end
    assert end.by_category["kv_cache"] == layer.weight.untyped_storage().nbytes()
    assert "odd.0" in {row.name for row in end.live().rows(10_000, 0)}


FORKS = """
import os, sys, torch, memprof
with memprof.trace(sys.argv[1]):
    kept = torch.empty(1000)
    child = os.fork()
    if child == 0:
        for _ in range(100):
            torch.empty(5000)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    last = torch.empty(2000)
"""


def test_a_forked_child_does_not_write_into_the_trace(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    subprocess.run([sys.executable, "-c", FORKS, str(path)], check=True, timeout=120)
    sizes = memprof.load(path).allocations.nbytes.tolist()
    assert 4 * 1000 in sizes
    assert 4 * 2000 in sizes
    assert 4 * 5000 not in sizes
