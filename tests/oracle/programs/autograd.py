"""Everything that a program can ask of autograd."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.utils.checkpoint import checkpoint

from tests.oracle.outcome import Program
from tests.oracle.probe import Probe
from tests.oracle.programs.plain import GPT, Block, batch, claim_all, loss_of

WIDTH, ROWS = 64, 128


def mlp(layers: int = 3) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()) for _ in range(layers))
    )


def claim_gradients(probe: Probe, model: nn.Module) -> None:
    probe.holds("gradients", *(parameter.grad for parameter in model.parameters()))


def two_backward_passes(probe: Probe) -> None:
    """Two losses share a trunk, whose graph is kept for the second."""
    with probe.traced():
        trunk, heads = mlp(), nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))
        for _ in range(2):
            shared = trunk(torch.randn(ROWS, WIDTH))
            losses = [head(shared).square().mean() for head in heads]
            losses[0].backward(retain_graph=True)
            losses[1].backward()
            probe.value(*losses)
        claim_gradients(probe, nn.ModuleList([trunk, heads]))


def gradient_penalty(probe: Probe) -> None:
    """A gradient of a gradient, by autograd.grad with create_graph."""
    with probe.traced():
        model = mlp()
        optimizer = torch.optim.Adam(model.parameters())
        for _ in range(2):
            images = torch.randn(ROWS, WIDTH, requires_grad=True)
            (slope,) = torch.autograd.grad(model(images).sum(), images, create_graph=True)
            loss = (slope.norm(dim=1) - 1).square().mean()
            loss.backward()
            probe.value(loss)
            optimizer.step()
            probe.holds(
                "gradients", slope, images.grad, *(weight.grad for weight in model.parameters())
            )
            optimizer.zero_grad()


def gradients_by_hand(probe: Probe) -> None:
    with probe.traced():
        model = mlp()
        parameters = list(model.parameters())
        gradients = torch.autograd.grad(model(torch.randn(ROWS, WIDTH)).sum(), parameters)
        probe.holds("gradients", *gradients)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= 0.1 * gradient
        probe.value(*parameters)
        probe.holds("weights", *parameters)


def checkpointed(probe: Probe, *, reentrant: bool) -> None:
    with probe.traced():
        blocks = nn.ModuleList(Block() for _ in range(4))
        optimizer = torch.optim.AdamW(blocks.parameters())
        for _ in range(2):
            first = hidden = torch.randn(2, 32, WIDTH, requires_grad=True)
            for block in blocks:
                hidden = checkpoint(block, hidden, None, 0, use_reentrant=reentrant)
            loss = hidden.square().mean()
            loss.backward()
            probe.value(loss)
            optimizer.step()
            probe.holds("gradients", first.grad, *(weight.grad for weight in blocks.parameters()))
            optimizer.zero_grad()


def nested_checkpoints(probe: Probe) -> None:
    """Checkpoints inside a checkpoint are recomputed twice."""
    with probe.traced():
        model = mlp(4)

        def half(x: torch.Tensor, first: int) -> torch.Tensor:
            for layer in model[first : first + 2]:
                x = checkpoint(layer, x, use_reentrant=False)
            return x

        hidden = torch.randn(16 * ROWS, WIDTH)
        for first in (0, 2):
            hidden = checkpoint(half, hidden, first, use_reentrant=False)
        hidden.sum().backward()
        probe.value(hidden)
        claim_gradients(probe, model)


def per_sample_gradients(probe: Probe) -> None:
    """torch.func: vmap over grad over a functional call."""
    with probe.traced():
        model = mlp()
        weights = {name: weight.detach() for name, weight in model.named_parameters()}

        def loss(weights: dict[str, torch.Tensor], row: torch.Tensor) -> torch.Tensor:
            return functional_call(model, weights, (row,)).square().sum()

        each = vmap(grad(loss), in_dims=(None, 0))(weights, torch.randn(16, WIDTH))
        probe.value(*each.values())
        probe.holds("weights", *model.parameters())


def jacobian(probe: Probe) -> None:
    with probe.traced():
        model, row = mlp(), torch.randn(WIDTH)
        probe.value(torch.func.jacrev(model)(row), torch.func.jacfwd(model)(row))
        probe.holds("weights", *model.parameters())


def hessian_vector_product(probe: Probe) -> None:
    with probe.traced():
        model, row = mlp(), torch.randn(WIDTH)
        slope = grad(lambda x: model(x).square().sum())
        probe.value(*torch.func.jvp(slope, (row,), (torch.ones(WIDTH),)))
        probe.holds("weights", *model.parameters())


def saved_on_cpu(probe: Probe) -> None:
    with probe.traced():
        model = mlp()
        with torch.autograd.graph.save_on_cpu():
            loss = model(torch.randn(ROWS, WIDTH)).square().mean()
        loss.backward()
        probe.value(loss)
        claim_gradients(probe, model)


class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x, scale)
        ctx.kept = x * 2  # outside save_for_backward, as many a kernel does
        return x * scale

    @staticmethod
    def backward(ctx, slope):  # type: ignore[no-untyped-def]
        x, scale = ctx.saved_tensors
        return slope * scale + 0 * ctx.kept, (slope * x).sum()


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return Scaled.apply(x, self.scale)


def own_function(probe: Probe) -> None:
    with probe.traced():
        model = nn.Sequential(mlp(), Scale(), mlp())
        for _ in range(2):
            loss = model(torch.randn(ROWS, WIDTH)).square().mean()
            loss.backward()
            probe.value(loss)
            claim_gradients(probe, model)


def hooks(probe: Probe) -> None:
    """Optimizer steps inside backward, one parameter after the other."""
    with probe.traced():
        model = GPT()
        optimizers = {weight: torch.optim.AdamW([weight]) for weight in model.parameters()}

        def step(weight: torch.Tensor) -> None:
            optimizers[weight].step()
            optimizers[weight].zero_grad()

        handles = [weight.register_post_accumulate_grad_hook(step) for weight in optimizers]
        for _ in range(2):
            loss = loss_of(model, batch())
            loss.backward()
            probe.value(loss)
        probe.holds("gradients")
        states = [state for each in optimizers.values() for state in each.state.values()]
        probe.holds("optimizer_state", *(value for state in states for value in state.values()))
        for handle in handles:  # the hooks hold the weights that hold the hooks
            handle.remove()


def gradients_to_none_or_zero(probe: Probe) -> None:
    with probe.traced():
        model = mlp()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for turn in range(4):
            model(torch.randn(ROWS, WIDTH)).sum().backward()
            optimizer.step()
            claim_gradients(probe, model)
            probe.value(*model.parameters())
            optimizer.zero_grad(set_to_none=turn % 2 == 0)
            claim_gradients(probe, model)


def user_error(probe: Probe) -> None:
    """Exceptions in forward and in backward, caught by the program, which goes on."""
    with probe.traced():
        model = GPT()
        optimizer = torch.optim.AdamW(model.parameters())
        for _ in range(2):
            try:
                model.blocks[1](torch.randn(2, 3, WIDTH + 1), None, 0)
            except RuntimeError:
                probe.fact("caught in forward", True)
            loss = loss_of(model, batch())
            loss.backward()
            try:
                loss.backward()
            except RuntimeError:
                probe.fact("caught in backward", True)
            probe.value(loss)
            optimizer.step()
            claim_all(probe, model, optimizer)
            optimizer.zero_grad()


PROGRAMS = {
    "two backward passes": Program(two_backward_passes),
    "gradient penalty": Program(gradient_penalty),
    "gradients by hand": Program(gradients_by_hand),
    "checkpointing": Program(lambda probe: checkpointed(probe, reentrant=False)),
    "reentrant checkpointing": Program(lambda probe: checkpointed(probe, reentrant=True)),
    "nested checkpointing": Program(nested_checkpoints),
    "per-sample gradients": Program(per_sample_gradients),
    "jacobians": Program(jacobian, workspaces="a transposed matrix is copied by blocks"),
    "hessian-vector product": Program(
        hessian_vector_product, workspaces="a product with one row works on a copy of the matrix"
    ),
    "save_on_cpu": Program(saved_on_cpu),
    "own autograd function": Program(own_function),
    "optimizer in backward": Program(hooks),
    "zero_grad either way": Program(gradients_to_none_or_zero),
    "exceptions caught": Program(user_error),
}
