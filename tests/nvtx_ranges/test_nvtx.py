"""memprof's ranges as a tool hears them, and the program's own ranges as the trace keeps them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nvtx
import pytest
import torch
from torch import nn

import memprof
from memprof.analyze import Analysis, phase_spans
from memprof.record.nvtx_ranges import NvtxRanges

PROGRAM = """
import nvtx, torch
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)
    def forward(self, x):
        return self.inner(x)

model = nn.Sequential(Block(), nn.ReLU())
optimizer = torch.optim.SGD(model.parameters())
for _ in range(2):
    with nvtx.annotate("mine"):
        model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
try:
    model(torch.ones(2, 5))
except RuntimeError:
    print("raised")
model(torch.ones(2, 4))
"""


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("the fake NVTX tool needs a C compiler")
    built = tmp_path_factory.mktemp("nvtx") / "tool.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    source = Path(__file__).with_name("fake_tool.c")
    subprocess.run([*command, "-o", str(built), str(source)], check=True)
    return built


@pytest.fixture(scope="module")
def heard(tool: Path, tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """What the tool hears of a traced program, line by line."""
    folder = tmp_path_factory.mktemp("program")
    (folder / "program.py").write_text(PROGRAM)
    log = folder / "log"
    environ = {**os.environ, "NVTX_INJECTION64_PATH": str(tool), "FAKE_NVTX_LOG": str(log)}
    command = [sys.executable, "-m", "memprof", "run", "-q", "-o", "t.json", "program.py"]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("raised\n", "", 0)
    return [line.split("\t") for line in log.read_text().splitlines()]


def of(heard: list[list[str]], domain: str, what: str) -> list[list[str]]:
    return [line for line in heard if line[0] == what and line[1] == domain]


def test_phases_and_steps(heard: list[list[str]]) -> None:
    started = [(line[2], line[4]) for line in of(heard, "memprof", "start")]
    phases = [name for category, name in started if category == "phase"]
    assert phases[0] == "load"
    wanted = {"load": 1, "forward": 4, "backward": 2, "optimizer": 2}
    assert Counter(phases) == wanted
    steps = [name for category, name in started if category == "step"]
    assert steps == ["step 0", "step 1", "step 2"]
    ended = [line[5] for line in of(heard, "memprof", "end")]
    assert sorted(ended) == sorted(line[5] for line in of(heard, "memprof", "start"))


def test_modules_nest(heard: list[list[str]]) -> None:
    stack: list[str] = []
    seen: list[str] = []
    for what, domain, category, *_, message, _ in heard:
        if domain == "memprof" and what == "push":
            assert category == "module"
            stack.append(message)
            seen.append(" > ".join(stack))
        elif domain == "memprof" and what == "pop":
            stack.pop()
    assert stack == []
    whole = ["Sequential", "Sequential > 0", "Sequential > 0 > 0.inner", "Sequential > 1"]
    assert [seen[:4], seen[4:8]] == [whole, whole]
    assert seen[8:11] == whole[:3], "the call that raised"
    assert seen[11:] == whole, "and nothing is left of it"


def test_the_payload_is_what_is_held(heard: list[list[str]]) -> None:
    weights = (4 * 4 + 4) * 4
    held = [int(line[3]) for line in of(heard, "memprof", "start") if line[4] == "forward"]
    assert held[0] >= weights
    assert held[1] >= held[0]


def test_samples_are_counters(heard: list[list[str]]) -> None:
    samples = of(heard, "memprof", "sample")
    seen = {line[4]: int(line[3]) for line in samples}
    assert seen["memprof/host/rss_bytes"] > 10 << 20
    assert Counter(line[4] for line in samples)["memprof/host/rss_bytes"] >= 2


def test_the_programs_own_ranges_are_its_own(heard: list[list[str]]) -> None:
    assert [line[4] for line in of(heard, "", "push")] == ["mine", "mine"]


def names(tracing: memprof.api.Tracing) -> list[str]:
    spans = sorted(phase_spans(tracing.trace), key=lambda span: span.begin)
    return [span.name for span in spans if span.name != "load"]


def test_own_ranges_become_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda.nvtx, "_nvtx", Silent())
    model = nn.Linear(4, 4)
    before = vars(torch.cuda.nvtx).copy(), vars(nvtx).copy(), vars(nvtx.annotate).copy()
    with memprof.trace() as tracing:
        with nvtx.annotate("epoch"), torch.cuda.nvtx.range("batch {}", 7):
            torch.cuda.nvtx.range_push("compute")
            model(torch.ones(2, 4)).sum().backward()
            torch.cuda.nvtx.range_pop()
        started = nvtx.start_range("loose")
        kept = torch.ones(100)
        nvtx.end_range(started)
        nvtx.push_range("left open")
        torch.cuda.nvtx.range_pop()
        torch.cuda.nvtx.range_pop()
    after = vars(torch.cuda.nvtx), vars(nvtx), vars(nvtx.annotate)
    assert all(dict(one) == dict(other) for one, other in zip(before, after, strict=True))
    inner = "epoch › batch 7 › compute"
    assert names(tracing) == [
        "epoch",
        "epoch › batch 7",
        inner,
        f"{inner} › forward",
        f"{inner} › backward",
        "loose",
        "left open",
    ]
    analysis = Analysis(tracing.trace)
    born = {row.bytes: row.phase for row in analysis.device("cpu").end.live().rows()}
    assert born[kept.nbytes].endswith("loose")
    held = analysis.device("cpu").peak.by_category
    assert held["weights"] == 80, "what is what does not change by it"


def test_a_range_that_fails_opens_nothing() -> None:
    with memprof.trace() as tracing, pytest.raises(RuntimeError, match="NVTX functions"):
        torch.cuda.nvtx.range_push("never")
    assert "never" not in tracing.trace.strings


def test_a_range_inside_a_recomputation_leaves_it_one() -> None:
    from torch.utils.checkpoint import checkpoint

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with nvtx.annotate("forward"):
                return torch.relu(self.inner(x))

    block = Block()
    phases: list[list[str]] = []
    for annotated in (False, True):
        with pytest.MonkeyPatch.context() as patch, memprof.trace() as tracing:
            if not annotated:
                patch.setattr(nvtx.annotate, "__enter__", lambda annotation: annotation)
                patch.setattr(nvtx.annotate, "__exit__", lambda annotation, *error: False)
            checkpoint(block, torch.ones(2, 8), use_reentrant=False).sum().backward()
        phases.append(names(tracing))
    plain = ["forward", "backward", "backward › recompute"]
    ranged = [*plain[:1], "forward › forward", *plain[1:], "backward › recompute › forward"]
    assert phases == [plain, ranged]


def test_without_a_tool_nothing_is_made() -> None:
    ranges = NvtxRanges(False, lambda: pytest.fail("nobody listens"))
    assert not ranges.on
    ranges.end(ranges.start("x", "phase"))
    ranges.nest(3, "y")
    ranges.count("z", 1)


class Silent:
    """PyTorch's binding as a CUDA build has it."""

    @staticmethod
    def rangePushA(name: str) -> int:  # noqa: N802
        return 0

    @staticmethod
    def rangePop() -> int:  # noqa: N802
        return 0
