"""What memprof takes for granted of streams, CUDA graphs and cuBLAS."""

from __future__ import annotations

import torch

import memprof
from memprof.record.cuda import segments
from memprof.record.segments import free_blocks

from .claim import Bench, Claim, Seen

MIB = 1 << 20
SM90_BYTES, OTHER_BYTES = 32 * MIB, 8_519_680


def memory_stays_with_its_stream(bench: Bench) -> Seen:
    """What was freed on one stream does not serve another."""
    size, grown = 64 * MIB, []
    torch.cuda.empty_cache()
    for stream in (torch.cuda.Stream(), torch.cuda.Stream()):
        before = torch.cuda.memory_reserved()
        with torch.cuda.stream(stream):
            torch.empty(size, dtype=torch.uint8, device="cuda")
        grown.append(torch.cuda.memory_reserved() - before)
    return {"holds": grown == [size, size], "reserved_growth_bytes": grown}


def a_recorded_stream_delays_the_free(bench: Bench) -> Seen:
    """Freed with work of another stream under way, memory is active and not allocated."""
    x = torch.zeros(64 * MIB, dtype=torch.uint8, device="cuda")
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        torch.cuda._sleep(200_000_000)
        x.record_stream(side)
    del x
    told = torch.cuda.memory_stats()
    gap = told["active_bytes.all.current"] - told["allocated_bytes.all.current"]
    torch.cuda.synchronize()
    return {"holds": gap >= 64 * MIB, "pending_bytes": gap}


def a_trace_names_the_streams(bench: Bench) -> Seen:
    """A trace says which stream an allocation was made for, and which it is kept for."""
    side = torch.cuda.Stream()
    with memprof.trace() as tracing:
        with torch.cuda.stream(side):
            made = torch.zeros(MIB, device="cuda")
        kept = torch.zeros(MIB, device="cuda")
        kept.record_stream(side)
    rows = tracing.trace.streams
    found = set(zip(rows.stream.tolist(), rows.recorded.tolist(), strict=True))
    wanted = {(side.stream_id, 0), (side.stream_id, 1)}
    return {"holds": wanted <= found and made.nbytes == kept.nbytes, "seen": sorted(found)}


def cublas_keeps_a_workspace_for_each_stream(bench: Bench) -> Seen:
    """Each stream's first product keeps a workspace: 32 MiB on sm_90, 8,519,680 bytes elsewhere."""
    sm90 = torch.cuda.get_device_capability(0) == (9, 0)
    expected = SM90_BYTES if sm90 else OTHER_BYTES
    torch._C._cuda_clearCublasWorkspaces()
    streams = [torch.cuda.current_stream(), torch.cuda.Stream()]
    grown = [_kept_by_a_product(stream, None) for stream in streams]
    return {"holds": grown == [expected] * 2, "expected": expected, "seen": grown}


def cublas_lt_shares_the_workspace(bench: Bench) -> Seen:
    """A linear layer with a bias, which goes through cuBLASLt, keeps no second workspace."""
    stream = torch.cuda.current_stream()
    torch._C._cuda_clearCublasWorkspaces()
    first = _kept_by_a_product(stream, None)
    bias = torch.zeros(256, device="cuda", dtype=torch.bfloat16)
    second = _kept_by_a_product(stream, bias)
    return {"holds": second == 0, "without_bias_bytes": first, "more_with_bias_bytes": second}


def _kept_by_a_product(stream: torch.cuda.Stream, bias: torch.Tensor | None) -> int:
    stream.synchronize()
    x = torch.ones(256, 256, device="cuda", dtype=torch.bfloat16)
    with torch.cuda.stream(stream):
        before = torch.cuda.memory_stats()["requested_bytes.all.current"]
        y = torch.nn.functional.linear(x, x, bias)
        grown = torch.cuda.memory_stats()["requested_bytes.all.current"] - before - y.nbytes
    torch.cuda.synchronize()
    return int(grown)


def the_pool_of_a_graph_is_private(bench: Bench) -> Seen:
    """What is captured lies in a private pool, and replaying allocates nothing."""
    x = torch.zeros(1 << 20, device="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = (x + 1) * 2
    held = segments()
    private = sum(s["total_size"] for s in held if tuple(s["segment_pool_id"]) != (0, 0))
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    graph.replay()
    made = torch.cuda.memory_stats()["allocation.all.allocated"] - before
    free = free_blocks(held)[0].graph_pools
    holds = private >= y.nbytes and made == 0 and free > 0
    return {"holds": holds, "private_bytes": private, "free_bytes": free, "replay_allocates": made}


CLAIMS = (
    Claim(cublas_keeps_a_workspace_for_each_stream, "the waterfall: cuBLAS workspaces"),
    Claim(cublas_lt_shares_the_workspace, "the waterfall: cuBLAS workspaces"),
    Claim(the_pool_of_a_graph_is_private, "the waterfall: CUDA graph pools"),
    Claim(memory_stays_with_its_stream, "PyTorch's CUDA semantics: streams"),
    Claim(a_recorded_stream_delays_the_free, "PyTorch's CUDA semantics: record_stream"),
    Claim(a_trace_names_the_streams, "docs/trace-format.md: streams"),
)
