"""The moment at which memory ran out, told from the words of PyTorch and from the trace."""

from __future__ import annotations

from typing import Any

import pytest

from memprof.analyze.out_of_memory import out_of_memory
from memprof.out_of_memory import breakdown
from tests.trace_builder import TraceBuilder

GIB = 1 << 30
CUDA = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 1 has a total capacity of 79.00 GiB of "
    "which 1.50 GiB is free. Process 812 has 77.50 GiB memory in use. Of the allocated memory "
    "70.00 GiB is allocated by PyTorch, and 6.00 GiB is reserved by PyTorch but unallocated."
)
OLDER = (
    "CUDA out of memory. Tried to allocate 2.00 GiB (GPU 1; 79.00 GiB total capacity; 70.00 GiB "
    "already allocated; 1.50 GiB free; 76.00 GiB reserved in total by PyTorch)"
)
HOST = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 4294967296 bytes. Error code 12 (Cannot allocate memory)"
)


def failed(message: str) -> TraceBuilder:
    """Ran out in a forward on the second card, went on, and freed everything."""
    build = TraceBuilder()
    build.alloc(9 * GIB, device="cpu")
    weight = build.alloc(4 * GIB, device="cuda:1", label="parameter", name="layer.weight")
    with build.phase("forward"):
        kept = build.alloc(GIB, device="cuda:1", module="layer", stack="train.py:7 f")
        build.sample("cuda:1/reserved_bytes", 6 * GIB)
        build.fact("out_of_memory", {"message": message, "module": "layer.inner", "grad": True})
        build.tick()
        build.free(kept)
    build.free(weight)
    return build


@pytest.mark.parametrize("message", [CUDA, OLDER])
def test_what_cuda_says(message: str) -> None:
    found: Any = out_of_memory(failed(message).trace())
    assert [found[f"{name}_bytes"] for name in ("asked", "free", "total")] == [
        2 * GIB,
        3 * GIB // 2,
        79 * GIB,
    ]
    place = [found[name] for name in ("device", "phase", "module")]
    assert place == ["cuda:1", "forward", "layer.inner"]
    held = {name: nbytes for name, nbytes in found["by_category"].items() if nbytes}
    assert held == {"weights": 4 * GIB, "activations": GIB}, "as if it had ended there"
    assert [tensor["bytes"] for tensor in found["largest"]] == [4 * GIB, GIB]
    assert found["waterfall"]["reserved"] == 6 * GIB


def test_what_the_host_says() -> None:
    found: Any = out_of_memory(failed(HOST).trace())
    assert (found["asked_bytes"], found["free_bytes"], found["device"]) == (4 * GIB, None, "cpu")


def test_what_nobody_can_read() -> None:
    found: Any = out_of_memory(failed("no more room. Tried to allocate 3 parsecs.").trace())
    assert found["asked_bytes"] is None
    assert found["device"] == "cpu"


def test_memory_that_never_ran_out() -> None:
    build = TraceBuilder()
    build.alloc(8)
    assert out_of_memory(build.trace()) is None
    assert list(breakdown(build.trace())) == []


def test_no_tensor_was_recorded() -> None:
    build = TraceBuilder()
    build.fact("out_of_memory", {"message": CUDA})
    assert list(breakdown(build.trace())) == [
        "memprof: memory ran out, and no tensor had been recorded"
    ]


def test_the_breakdown() -> None:
    lines = [" ".join(line.split()) for line in breakdown(failed(CUDA).trace())]
    assert lines == [
        "memprof: cuda:1 ran out of memory at 0.000 s, forward of layer.inner: asked for 2.00 GiB, "
        "1.50 GiB of 79.00 GiB were free",
        "4.00 GiB weights",
        "1.00 GiB activations",
        "0 B unattributed",
        "Largest tensors alive",
        "4.00 GiB weights layer.weight",
        "1.00 GiB activations layer train.py:7",
        "From tensors to the device",
        "5.00 GiB requested by tensors",
        "+1.00 GiB cached, free for reuse",
        "6.00 GiB reserved",
    ]
