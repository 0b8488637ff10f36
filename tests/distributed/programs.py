"""Ways to train with several processes, each small and said in the objects of PyTorch itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.fsdp._fully_shard._fsdp_collectives import (
    DefaultAllGather,
    DefaultReduceScatter,
)
from torch.distributed.pipelining import PipelineStage, Schedule1F1B
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)
from torch.nn.parallel import DistributedDataParallel

from tests.distributed.member import Member, bytes_of

ROWS, WIDTH, STEPS = 64, 256, 3
OBJECT_BYTES = 50_000


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(WIDTH, 2 * WIDTH)
        self.down = nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(torch.relu(self.up(x)))


def model() -> nn.Sequential:
    """Two blocks, and buffers between them."""
    return nn.Sequential(Block(), nn.BatchNorm1d(WIDTH), Block())


def batch(rows: int = ROWS) -> torch.Tensor:
    return torch.randn(rows, WIDTH)


def states(optimizer: torch.optim.Optimizer) -> Iterator[torch.Tensor]:
    for state in optimizer.state.values():
        yield from (value for value in state.values() if isinstance(value, torch.Tensor))


def gradients(module: nn.Module) -> list[torch.Tensor | None]:
    return [parameter.grad for parameter in module.parameters()]


def hold_what_all_do(member: Member, module: nn.Module, *optimizers: torch.optim.Optimizer) -> None:
    """Claims what every strategy keeps: this process's part of weights, gradients and states."""
    member.holds("weights", *module.parameters())
    member.holds("gradients", *gradients(module))
    member.holds("buffers", *module.buffers())
    member.holds("optimizer_state", *(state for each in optimizers for state in states(each)))


def data_parallel(member: Member, *, view: bool) -> None:
    """Gradients are copied into buckets, or are views of them; buffers are broadcast."""
    with member.traced():
        wrapped = DistributedDataParallel(model(), gradient_as_bucket_view=view, bucket_cap_mb=0.5)
        optimizer = torch.optim.AdamW(wrapped.parameters())
        for _ in range(STEPS):
            wrapped(batch()).sum().backward()
            hold_what_all_do(member, wrapped, optimizer)
            buckets = bucket_bytes(wrapped)
            member.holds("communication", and_bytes=0 if view else sum(buckets))
            optimizer.step()
            optimizer.zero_grad()
        member.fact("buckets", len(buckets))
        wrapped(batch()).sum().backward()
        hold_what_all_do(member, wrapped, optimizer)
        member.computed(*wrapped.parameters())


def begun_before(member: Member, wrap: Callable[[nn.Sequential], nn.Module]) -> None:
    """A model whose buffers for the exchange are there when the recording begins."""
    module = wrap(model())
    optimizer = torch.optim.AdamW(module.parameters())
    for _ in range(STEPS):
        module(batch()).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    with member.traced():
        output = module(batch())
        full_copies = gathered(module)
        if full_copies:
            member.holds("communication", *full_copies)
        output.sum().backward()
        hold_what_all_do(member, module, optimizer)
        buckets = bucket_bytes(module) if isinstance(module, DistributedDataParallel) else []
        member.holds("communication", *gathered(module), and_bytes=sum(buckets))
        optimizer.step()
    member.computed(*module.parameters())


def bucket_bytes(wrapped: DistributedDataParallel) -> list[int]:
    """Sizes of the buckets as the reducer's own log tells them: those rebuilt, once they are."""
    log = wrapped._get_ddp_logging_data()
    sizes = log.get("rebuilt_bucket_sizes") or log["bucket_sizes"]
    return [int(size) for size in sizes.split(",")]


def compressed(member: Member) -> None:
    """A hook that sends gradients in half precision: one more buffer a bucket, for a moment."""
    with member.traced():
        wrapped = DistributedDataParallel(model(), bucket_cap_mb=25)  # one bucket
        wrapped.register_comm_hook(None, fp16_compress_hook)
        optimizer = torch.optim.AdamW(wrapped.parameters())
        for _ in range(STEPS):
            wrapped(batch()).sum().backward()
            hold_what_all_do(member, wrapped, optimizer)
            optimizer.step()
            optimizer.zero_grad()
        member.holds("communication", and_bytes=sum(bucket_bytes(wrapped)))
        member.fact("half_bytes", sum(bucket_bytes(wrapped)) // 2)
        member.computed(*wrapped.parameters())


def zero_redundancy(member: Member) -> None:
    """Each process keeps the optimizer's states of its own parameters, and all weights."""
    from torch.distributed.optim import ZeroRedundancyOptimizer  # deprecated code of its own

    with member.traced():
        wrapped = DistributedDataParallel(model())
        optimizer = ZeroRedundancyOptimizer(wrapped.parameters(), torch.optim.AdamW, lr=1e-3)
        for _ in range(STEPS):
            wrapped(batch()).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        wrapped(batch()).sum().backward()
        hold_what_all_do(member, wrapped, optimizer.optim)
        member.holds("communication", and_bytes=sum(bucket_bytes(wrapped)))
        member.fact("state_bytes", bytes_of(states(optimizer.optim)))
        member.fact("parameters", len(list(wrapped.parameters())))
        member.fact("weight_bytes", bytes_of(wrapped.parameters()))
        member.computed(*wrapped.parameters())


def shard(module: nn.Sequential, **options: Any) -> nn.Sequential:
    mesh = init_device_mesh("cpu", (distributed.get_world_size(),))
    for block in module:
        fully_shard(block, mesh=mesh, **options)
    fully_shard(module, mesh=mesh, **options)
    return module


class Gather(DefaultAllGather):
    """Gathers in place; gloo's own all-gather copies its output."""

    def __call__(self, output_tensor: Any, input_tensor: Any, group: Any, async_op: Any) -> None:
        for rank, part in enumerate(output_tensor.chunk(group.size())):
            if rank != group.rank():
                part.zero_()
        distributed.all_reduce(output_tensor, group=group)


class Scatter(DefaultReduceScatter):
    """Reduces in place; gloo's own reduce-scatter copies its input."""

    def __call__(self, output_tensor: Any, input_tensor: Any, group: Any, op: Any) -> None:
        distributed.all_reduce(input_tensor, group=group)
        output_tensor.copy_(input_tensor.chunk(group.size())[group.rank()])


def gathered(module: nn.Module) -> list[torch.Tensor]:
    """Everything that the groups of `fully_shard` hold to exchange at this moment."""
    held: list[torch.Tensor] = []
    for part in module.modules():
        if isinstance(part, FSDPModule):
            group = part._get_fsdp_state()._fsdp_param_group
            if group is not None:
                held += in_flight(group)
    return held


def in_flight(group: Any) -> Iterator[torch.Tensor]:
    for parameter in group.fsdp_params:
        yield from parameter.all_gather_outputs
    context = group.comm_ctx
    waiting = context.all_gather_state
    for result in (group._all_gather_result, waiting and waiting.all_gather_result):
        if result is not None:
            yield result.all_gather_output
    for state in context.reduce_scatter_states:
        yield state.reduce_scatter_input


def fully_sharded(member: Member, *, in_place: bool = False) -> None:
    """Weights in shards, gathered for each block's call and freed after it."""
    with member.traced():
        module = shard(model())
        for part in module.modules() if in_place else ():
            if isinstance(part, FSDPModule):
                part.set_custom_all_gather(Gather())
                part.set_custom_reduce_scatter(Scatter())
        for block in module:
            block.register_forward_hook(
                lambda *_: member.holds("communication", *gathered(module)), prepend=True
            )
        optimizer = torch.optim.AdamW(module.parameters())
        for _ in range(STEPS):
            output = module(batch())
            member.holds("communication", *gathered(module))
            member.holds("weights", *module.parameters())
            output.sum().backward()
            hold_what_all_do(member, module, optimizer)
            member.holds("communication", *gathered(module))
            optimizer.step()
            optimizer.zero_grad()
            member.holds("gradients")
        member.computed(*module.parameters())


def fully_sharded_accumulating(member: Member) -> None:
    """Full gradients are kept over two of three backward passes, in float32 beside bfloat16."""
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    with member.traced():
        blocks = nn.Sequential(Block(), Block())
        module = shard(blocks, mp_policy=policy, reshard_after_forward=False)
        optimizer = torch.optim.AdamW(module.parameters())
        for turn in range(STEPS):
            last = turn == STEPS - 1
            module.set_requires_gradient_sync(last)
            output = module(batch())
            member.holds("communication", *gathered(module))
            output.sum().backward()
            if not last:
                member.holds("gradients", *full_gradients(module))
            member.holds("communication", *gathered(module))
        optimizer.step()
        hold_what_all_do(member, module, optimizer)
        optimizer.zero_grad()
        module.set_requires_gradient_sync(False)
        module(batch()).sum().backward()
        member.holds("gradients", *full_gradients(module))
        module.reshard()
        member.computed(*module.parameters())


def full_gradients(module: nn.Module) -> Iterator[torch.Tensor | None]:
    for part in module.modules():
        if isinstance(part, FSDPModule):
            group = part._get_fsdp_state()._fsdp_param_group
            for parameter in group.fsdp_params if group else ():
                yield parameter.unsharded_accumulated_grad
                yield parameter._unsharded_param.grad


def tensor_parallel(member: Member) -> None:
    """Columns and rows of the weights; partial results are summed up over the processes."""
    with member.traced():
        module = nn.Sequential(Block(), Block())
        mesh = init_device_mesh("cpu", (member.world,))
        plan = {"up": ColwiseParallel(), "down": RowwiseParallel()}
        for block in module:
            parallelize_module(block, mesh, plan)
        optimizer = torch.optim.AdamW(module.parameters())
        for _ in range(STEPS):
            given = batch()
            with member.activations(given, *module.parameters()):
                output = module(given)
            member.holds("communication", output)
            output.sum().backward()
            del output
            hold_what_all_do(member, module, optimizer)
            member.holds("communication")
            optimizer.step()
            optimizer.zero_grad()
        member.computed(*module.parameters())


def pipeline(member: Member) -> None:
    """Two stages, each with buffers for what the other sends, one for every part of the batch."""
    parts = 4
    with member.traced():
        module = nn.Sequential(Block(), Block()) if member.rank else Block()
        stage = PipelineStage(module, member.rank, member.world, torch.device("cpu"))
        schedule = Schedule1F1B(stage, parts, loss_fn=nn.functional.mse_loss)
        optimizer = torch.optim.AdamW(module.parameters())
        for _ in range(STEPS):
            if member.rank == 0:
                schedule.step(batch())
            else:
                schedule.step(target=batch())
            optimizer.step()
            received = list(receive_buffers(stage))
            member.fact("buffers", len(received))
            member.holds("communication", *received)
            member.holds("gradients", *gradients(module), *(each.grad for each in received))
            optimizer.zero_grad()
        member.holds("weights", *module.parameters())
        member.holds("optimizer_state", *states(optimizer))
        member.computed(*module.parameters())


def receive_buffers(stage: PipelineStage) -> Iterator[torch.Tensor]:
    for infos in (*stage.args_recv_info.values(), *stage.grad_recv_info.values()):
        yield from (info.buffer for info in infos if getattr(info, "buffer", None) is not None)


def collectives(member: Member) -> None:
    """Every collective by hand, what goes in and what comes out."""
    member_rank, peer = member.rank, 1 - member.rank
    with member.traced():
        mine = torch.ones(10_000)
        summed, sent = mine.clone(), mine.clone()
        distributed.all_reduce(summed)
        distributed.all_reduce(summed, async_op=True).wait()
        pieces = [torch.empty(10_000) for _ in range(member.world)]
        distributed.all_gather(pieces, mine)
        (distributed.send if member_rank == 0 else distributed.recv)(sent, peer)
        swapped = torch.empty(10_000)
        distributed.all_to_all_single(swapped, mine)
        scattered = torch.empty(10_000)
        distributed.scatter(scattered, pieces if member_rank == 0 else None)
        root = summed if member_rank == 0 else mine
        distributed.reduce(root, 0)
        functional = torch.ops._c10d_functional
        wide = functional.all_gather_into_tensor(mine, member.world, group_name())
        functional.wait_tensor(wide)
        alltoall = torch.ops._dtensor.shard_dim_alltoall
        turned = alltoall(mine.view(100, 100), 0, 1, group_name())
        objects: list[Any] = [None] * member.world
        distributed.all_gather_object(objects, "x" * (OBJECT_BYTES - 1000))
        exchanged = (mine, summed, sent, *pieces, swapped, scattered, wide, turned)
        member.holds("communication", *exchanged)
        member.computed(*exchanged)


def exchanging_in_inference(member: Member) -> None:
    """Collectives where autograd is off altogether, as in tensor parallel generation."""
    functional = torch.ops._c10d_functional
    with member.traced(), torch.inference_mode():
        mine = torch.ones(10_000)
        summed = functional.wait_tensor(functional.all_reduce(mine, "sum", group_name()))
        wide = functional.all_gather_into_tensor(mine, member.world, group_name())
        functional.wait_tensor(wide)
        part = functional.reduce_scatter_tensor(wide, "sum", member.world, group_name())
        exchanged = (mine, summed, wide, functional.wait_tensor(part))
        distributed.all_reduce(mine)
        member.holds("communication", *exchanged)
        member.computed(*exchanged)


def group_name() -> str:
    return distributed.group.WORLD.group_name


@dataclass(frozen=True)
class Program:
    """A program of two processes.

    Attributes:
        run: the program; it runs its part worth tracing inside `member.traced()`.
        gloo_copies: what gloo itself may hold for a moment inside collectives, in bytes, which
            memprof does not see: each of its two threads a copy of the largest tensor exchanged.
        late: it holds memory, known to no object of Python, when the recording begins.
    """

    run: Callable[[Member], None]
    gloo_copies: int = 0
    late: bool = False


BLOCK_BYTES = 4 * (4 * WIDTH * WIDTH + 3 * WIDTH)

#: The programs that run after one another in one pair of processes, by the name of the pair.
GROUPS = {
    "replicas": {
        "DDP": Program(partial(data_parallel, view=False)),
        "DDP, gradients in buckets": Program(partial(data_parallel, view=True)),
        "DDP, half precision": Program(compressed),
        "DDP, begun before": Program(
            partial(begun_before, wrap=DistributedDataParallel), late=True
        ),
        "ZeroRedundancyOptimizer": Program(zero_redundancy),
    },
    "shards": {
        "fully_shard": Program(fully_sharded, gloo_copies=2 * BLOCK_BYTES),
        "fully_shard, in place": Program(partial(fully_sharded, in_place=True)),
        "fully_shard, accumulating": Program(
            fully_sharded_accumulating, gloo_copies=2 * BLOCK_BYTES
        ),
        "fully_shard, begun before": Program(
            partial(begun_before, wrap=partial(shard, reshard_after_forward=False)),
            gloo_copies=2 * BLOCK_BYTES,
        ),
    },
    "parts": {
        "tensor parallel": Program(tensor_parallel),
        "pipeline": Program(pipeline),
        "collectives": Program(collectives, gloo_copies=4 * OBJECT_BYTES),
        "collectives in inference": Program(exchanging_in_inference, gloo_copies=160_000),
    },
}
PROGRAMS = {name: program for group in GROUPS.values() for name, program in group.items()}
