"""Other hooks above and below, other threads, other profilers, no autograd."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from tests.oracle.outcome import Program
from tests.oracle.probe import Probe
from tests.oracle.programs.plain import GPT, batch, claim_all, loss_of, train


def flops_outside(probe: Probe) -> None:
    counter = FlopCounterMode(display=False)
    with counter, probe.traced():
        train(probe, GPT())
    probe.value(torch.tensor(counter.get_total_flops()))


def flops_inside(probe: Probe) -> None:
    counter = FlopCounterMode(display=False)
    with probe.traced(), counter:
        train(probe, GPT())
    probe.value(torch.tensor(counter.get_total_flops()))


class Doubling(TorchDispatchMode):
    """Runs every operator on inputs of double precision: allocates in its own right."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.mm.default:
            return func(*(arg.double() for arg in args)).to(args[0].dtype)
        return func(*args, **(kwargs or {}))


def rewriting_mode(probe: Probe) -> None:
    with probe.traced(), Doubling(), torch.no_grad():
        model = GPT()
        probe.value(loss_of(model, batch()))
        probe.holds("weights", *model.parameters())


def attention(guard: Callable[[], Any], backend: SDPBackend, probe: Probe) -> None:
    with probe.traced(), guard(), sdpa_kernel(backend):
        q, k, v = (torch.randn(2, 4, 256, 32) for _ in range(3))
        probe.value(functional.scaled_dot_product_attention(q, k, v, is_causal=True))


def flash_training(probe: Probe) -> None:
    with probe.traced():
        q = torch.randn(2, 4, 512, 32, requires_grad=True)
        functional.scaled_dot_product_attention(q, q, q).sum().backward()
        assert q.grad is not None
        probe.value(q.grad)
        probe.holds("gradients", q.grad)


def inference(probe: Probe) -> None:
    model = GPT().eval()
    with probe.traced(), torch.inference_mode():
        for _ in range(3):
            probe.value(loss_of(model, batch()))
        probe.holds("weights", *model.parameters())
        probe.holds("gradients")


def in_threads(count: int, work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
        thread.join()  # one after the other: the peak must not depend on chance


def other_threads(probe: Probe) -> None:
    """Each trains a model of its own and leaves it behind."""
    kept: list[nn.Module] = []

    def work() -> None:
        kept.append(GPT())
        train(probe, kept[-1], *kept[:-1])

    with probe.traced():
        in_threads(3, work)


def backward_elsewhere(probe: Probe) -> None:
    """One thread runs forward, another backward, the first one the optimizer."""
    with probe.traced():
        model = GPT()
        optimizer = torch.optim.AdamW(model.parameters())
        for _ in range(2):
            loss = loss_of(model, batch())
            in_threads(1, loss.backward)
            probe.value(loss)
            optimizer.step()
            claim_all(probe, model, optimizer)
            optimizer.zero_grad()


def users_profiler_inside(probe: Probe) -> None:
    with probe.traced():
        with torch.profiler.profile(profile_memory=True) as profiled:
            train(probe, GPT())
        probe.fact("profiled", len(profiled.events()))


def users_profiler_around(probe: Probe) -> None:
    with torch.profiler.profile(profile_memory=True) as profiled, probe.traced():
        train(probe, GPT())
    probe.fact("profiled", len(profiled.events()))


def saved_tensor_hooks(probe: Probe) -> None:
    """Keeps what autograd saves in half precision."""

    def pack(tensor: torch.Tensor) -> Any:
        return tensor.half() if tensor.is_floating_point() else tensor

    def unpack(kept: torch.Tensor) -> torch.Tensor:
        return kept.float() if kept.is_floating_point() else kept

    with probe.traced():
        model = GPT()
        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            loss = loss_of(model, batch())
        loss.backward()
        probe.value(loss)
        probe.holds("gradients", *(weight.grad for weight in model.parameters()))


def autocast(probe: Probe) -> None:
    with probe.traced():
        model = GPT()
        optimizer = torch.optim.AdamW(model.parameters())
        for _ in range(2):
            with torch.autocast("cpu", torch.bfloat16):
                loss = loss_of(model, batch())
            loss.backward()
            probe.value(loss)
            optimizer.step()
            claim_all(probe, model, optimizer)
            optimizer.zero_grad()


SCORES = "the scores of attention live and die inside one operator"
MASK = "the softmax makes a mask of what is -inf inside itself"
AUTOCAST = Program(autocast, outside="oneDNN multiplies bfloat16 in memory of its own")
PROGRAMS = {
    "FlopCounterMode outside": Program(flops_outside),
    "FlopCounterMode inside": Program(flops_inside),
    "a mode that rewrites operators": Program(rewriting_mode),
    "attention, no_grad": Program(
        partial(attention, torch.no_grad, SDPBackend.MATH), workspaces=MASK, loose=True
    ),
    "attention, inference_mode": Program(
        partial(attention, torch.inference_mode, SDPBackend.MATH), workspaces=MASK, loose=True
    ),
    "flash attention": Program(
        partial(attention, torch.no_grad, SDPBackend.FLASH_ATTENTION),
        workspaces=SCORES,
        loose=True,
    ),
    "flash attention, training": Program(flash_training, workspaces=SCORES),
    "inference_mode": Program(inference),
    "models in other threads": Program(other_threads),
    "backward in another thread": Program(backward_elsewhere),
    "torch.profiler inside": Program(users_profiler_inside),
    "torch.profiler outside": Program(users_profiler_around),
    "saved_tensors_hooks": Program(saved_tensor_hooks),
    "autocast": AUTOCAST,
    "autocast without oneDNN": AUTOCAST.without_onednn(),
}
