"""Small traces whose every number is known."""

from __future__ import annotations

from pathlib import Path

from tests.trace_builder import TraceBuilder

KIB = 1 << 10


def training(path: Path, *, complete: bool = True) -> Path:
    """One step on the CPU: 8 KiB of weights, 24 KiB kept for backward, a peak of 40 KiB."""
    build = TraceBuilder(program=["train.py", "--lr", "0.1"])
    build.alloc(8 * KIB, label="parameter", name="layers.0.weight", module="layers.0")
    build.step()
    with build.phase("forward"):
        kept = [_kept(build, layer) for layer in range(3)]
    with build.phase("backward"):
        build.alloc(8 * KIB, op="aten::mm", label="gradient", name="layers.0.weight")
        build.free(*kept)
    build.sample("host/rss_bytes", 100 * KIB)
    return build.write(path, complete=complete)


def _kept(build: TraceBuilder, layer: int) -> int:
    made = build.alloc(
        8 * KIB,
        op="aten::mm",
        module=f"layers.{layer}",
        tensor="float32[2, 1024]",
        stack="train.py:41 forward\ntrain.py:50 <module>",
    )
    build.label(made, "saved_for_backward", module=f"layers.{layer}")
    return made


def graphics_card(path: Path) -> Path:
    """One tensor on a card whose allocator and driver were asked."""
    about = {"name": "NVIDIA H200", "total_bytes": 100 * KIB, "uuid": "GPU-1"}
    build = TraceBuilder(devices={"cuda:0": about})
    levels = {
        "cuda:0/allocated": 9,
        "cuda:0/reserved": 12,
        "nvml/GPU-1/process": 20,
        "nvml/GPU-1/used": 50,
    }
    for name, kibibytes in levels.items():
        build.sample(f"{name}_bytes", kibibytes * KIB)
    build.alloc(8 * KIB, device="cuda:0", label="parameter", name="weight")
    return build.write(path)


def empty(path: Path) -> Path:
    """A recording in which nothing happened."""
    return TraceBuilder().write(path)
