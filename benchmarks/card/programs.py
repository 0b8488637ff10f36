"""The programs that are traced on a card; each makes a function that does one step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional

import memprof

from .llama import Fixed, Growing, Llama, made
from .sizes import Sizes

Step = Callable[[], None]
Make = Callable[[Sizes, torch.device], Step]


def _training(
    sizes: Sizes, device: torch.device, *, checkpointing: bool = False, compiled: bool = False
) -> Step:
    model = made(sizes.training, device, checkpointing=checkpointing)
    backend = "aot_eager" if device.type == "cpu" else "inductor"
    return _loop(sizes, device, model, torch.compile(model, backend=backend) if compiled else model)


def _loop(sizes: Sizes, device: torch.device, model: Llama, called: Callable) -> Step:
    optimizer = torch.optim.AdamW(model.parameters(), fused=device.type == "cuda")
    vocabulary = sizes.training.vocabulary
    tokens = torch.randint(vocabulary, (sizes.batch, sizes.tokens), device=device)

    def step() -> None:
        logits = called(tokens)
        functional.cross_entropy(logits.flatten(0, 1), tokens.flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _sharded(sizes: Sizes, device: torch.device) -> Step:
    from torch.distributed import HashStore, init_device_mesh, init_process_group, is_initialized
    from torch.distributed.fsdp import fully_shard

    if not is_initialized():
        backend = "gloo" if device.type == "cpu" else "nccl"
        init_process_group(backend, store=HashStore(), rank=0, world_size=1)
    model, mesh = made(sizes.training, device), init_device_mesh(device.type, (1,))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return _loop(sizes, device, model, model)


def _generation(sizes: Sizes, device: torch.device, *, fixed: bool) -> Step:
    shape = sizes.generating
    model = made(shape, device)
    prompt = torch.randint(shape.vocabulary, (1, sizes.prompt), device=device)
    tag = partial(memprof.tag, category="kv_cache", name="cache")

    @torch.no_grad()
    def step() -> None:
        length = sizes.prompt + sizes.new_tokens
        store = Fixed(shape, length, device, tag) if fixed else Growing(tag)
        token = model(prompt, store).argmax(2)
        for _ in range(sizes.new_tokens - 1):
            token = model(token, store).argmax(2)

    return step


def _graph(sizes: Sizes, device: torch.device) -> Step:
    """Captures the forward once and replays it."""
    model = made(sizes.training, device)
    tokens = torch.zeros(1, sizes.tokens, dtype=torch.long, device=device)
    if device.type == "cpu":
        return torch.no_grad()(partial(_called, model, tokens))
    with torch.no_grad():
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            model(tokens)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            kept = model(tokens)

    def step() -> None:
        assert kept.shape[1] == sizes.tokens
        graph.replay()

    return step


def _called(model: nn.Module, tokens: torch.Tensor) -> None:
    model(tokens)


class Greedy(nn.Module):
    """Asks for more than there is."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.device.type == "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0")
        return x.new_empty(1 << 43)


def _out_of_memory(sizes: Sizes, device: torch.device) -> Step:
    model = nn.Sequential(made(sizes.training, device), Greedy())
    tokens = torch.zeros(1, sizes.tokens, dtype=torch.long, device=device)
    return partial(_called, model, tokens)


PROGRAMS: dict[str, Make] = {
    "training": _training,
    "training, checkpointed": partial(_training, checkpointing=True),
    "training, compiled": partial(_training, compiled=True),
    "training, sharded on one rank": _sharded,
    "generation, growing cache": partial(_generation, fixed=False),
    "generation, fixed cache": partial(_generation, fixed=True),
    "CUDA graph": _graph,
    "out of memory": _out_of_memory,
}
