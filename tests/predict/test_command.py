"""``memprof predict`` as people type it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from memprof.cli.trailing import trailing_options

PROGRAM = """
import argparse, torch
parser = argparse.ArgumentParser()
parser.add_argument("--batch", type=int, default=1)
batch = parser.parse_args().batch
model = torch.nn.Linear(1 << 14, 1 << 14, bias=False).cuda()
out = model(torch.randn(batch << 10, 1 << 14, device="cuda"))
print("batch", batch)
"""
GIB = 1 << 30
LAYER = GIB  # 2^14 × 2^14 weights of 4 bytes
ROWS = 2 * 64 << 20  # input and output of one batch: 2^10 × 2^14 numbers of 4 bytes each


def predict(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "memprof", "predict", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_answer(tmp_path: Path) -> None:
    done = predict(
        tmp_path, "-o", "p.json", "program.py", "--batch", "3", "--json", "--gpu", "h100"
    )
    assert done.returncode == 0, done.stderr
    assert "batch 3" in done.stderr
    document = json.loads(done.stdout)
    peak = document["peak"]
    assert document["device"] == "cuda:0"
    assert peak["by_category"]["weights"] == LAYER
    workspace = 32 << 20
    assert peak["requested_bytes"] == LAYER + 3 * ROWS + workspace
    assert peak["allocated_bytes"] == peak["requested_bytes"], "all are multiples of 512"
    assert peak["reserved_bytes"] >= peak["allocated_bytes"]
    assert document["needed_bytes"] == peak["reserved_bytes"] + document["context_bytes"]
    assert all(fit["fits"] for fit in document["fits"].values())
    header = json.loads((tmp_path / "p.json").read_text())["header"]
    assert header["source"] == "predicted"
    assert header["devices"]["cuda:0"]["name"] == "NVIDIA H100 SXM 80 GB"
    for verb in ("report", "info", "compare"):
        shown = [sys.executable, "-m", "memprof", verb, "p.json"]
        subprocess.run(shown, cwd=tmp_path, check=True, capture_output=True)


def test_a_program_that_does_not_fit_ends_with_3(tmp_path: Path) -> None:
    done = predict(tmp_path, "--no-changes", "program.py", "--batch", "1000", "--gpu", "h100")
    assert done.returncode == 3, done.stderr
    line = next(line for line in done.stdout.splitlines() if "h100-80gb" in line)
    assert line.split()[3] == "no"
    unasked = predict(tmp_path, "--no-changes", "program.py", "--batch", "1000")
    assert unasked.returncode == 0


def test_a_failing_program_shows_its_own_traceback(tmp_path: Path) -> None:
    done = predict(tmp_path, "program.py", "--batch", "-1")
    assert done.returncode == 1
    assert "program.py" in done.stderr
    assert "memprof/predict" not in done.stderr
    assert not done.stdout


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--gpu", "h1000", "program.py"], "not in the catalogue"),
        (["--search", "batch", "program.py"], "batch=1..512"),
        (["--ranks", "8", "--strategy", "magic", "program.py"], "'magic' is unknown"),
        (["--without", "magic", "program.py"], "'magic' is unknown"),
    ],
)
def test_bad_usage_is_one_line(tmp_path: Path, words: list[str], text: str) -> None:
    done = predict(tmp_path, *words)
    assert done.returncode == 2
    assert text in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "program.py"]


def test_the_largest_batch(tmp_path: Path) -> None:
    """Beside the context, 1 GiB of weights and cuBLAS every batch takes an eighth of a GiB."""
    done = predict(tmp_path, "--search", "batch=620..621", "--json", "program.py", "--gpu=h100")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["search"]
    free = 84_943_000_000 - (512 << 20) - LAYER - (32 << 20)
    assert found["largest"] == free // ROWS == 620
    assert found["tried"]["620"] <= 84_943_000_000 < found["tried"]["621"]


def test_options_behind_the_program() -> None:
    words = ["--lr", "3", "--gpu=h100", "--json", "--", "--gpu", "0"]
    found, left = trailing_options(words, {"--gpu": True}, {"--json": True})
    assert found == {"--gpu": "h100", "--json": ""}
    assert left == ["--lr", "3", "--gpu", "0"]
    found, left = trailing_options(["--gpu", "0"], {"--gpu": False}, {})
    assert (found, left) == ({}, ["--gpu", "0"])


RANKED = """
import torch
model = torch.nn.Linear(1 << 10, 3 << 9, bias=False).to("cuda")
optimizer = torch.optim.AdamW(model.parameters())
for _ in range(2):
    model(torch.randn(1, 1 << 10, device="cuda")).sum().backward()
    optimizer.step()
"""


def test_1024_ranks_by_the_first_and_the_last(tmp_path: Path) -> None:
    """Of 1536 rows the first 768 ranks have two each, the others none but the padding."""
    (tmp_path / "program.py").write_text(RANKED)
    words = ["program.py", "--ranks", "1024", "--strategy", "fsdp2"]
    command = [sys.executable, "-m", "memprof", "predict", *words]
    done = subprocess.run([*command, "--json"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, last = json.loads(done.stdout)["roles"]
    assert (first["rank"], last["rank"]) == (0, 1023)
    rows = 2 * 4 << 10
    assert first["peak"]["by_category"]["optimizer_state"] == 2 * rows
    assert last["peak"]["by_category"]["optimizer_state"] == 0
    weights = [role["peak"]["by_category"]["weights"] for role in (first, last)]
    assert weights == [rows, rows]
