"""State of every optimizer against the sum over `optimizer.state`; its step against a trace."""

from typing import Any

import pytest
import torch

import memprof
from memprof.estimate.optimizer import OptimizerSpec, optimizer_state
from memprof.estimate.optimizer_step import step_transient
from tests.estimate.oracle import storage_bytes, tensors_within

SHAPES = [(24, 40), (40,), (3, 4, 5), (24, 40), ()]
MATRICES = [(24, 40), (40, 24), (8, 8)]

CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "fused": True}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "weight_decay": 0.1}),
    ("Adam", {"fused": True}),
    ("AdamW", {}),
    ("AdamW", {"amsgrad": True}),
    ("AdamW", {"foreach": True}),
    ("AdamW", {"fused": True, "amsgrad": True}),
    ("NAdam", {}),
    ("RAdam", {}),
    ("Adamax", {}),
    ("Adadelta", {}),
    ("Adagrad", {}),
    ("Adagrad", {"fused": True}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("Rprop", {}),
    ("ASGD", {}),
    ("Adafactor", {}),
    ("Muon", {}),
]


def optimizer_fact(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    return {
        "class": type(optimizer).__name__,
        "module": type(optimizer).__module__,
        "groups": [
            {
                "options": {key: value for key, value in group.items() if key != "params"},
                "parameters": [
                    {
                        "shape": list(parameter.shape),
                        "dtype": str(parameter.dtype).removeprefix("torch."),
                        "device": str(parameter.device),
                        "gradient": parameter.grad is not None,
                    }
                    for parameter in group["params"]
                ],
            }
            for group in optimizer.param_groups
        ],
    }


def parameters(name: str, dtype: torch.dtype) -> list[torch.nn.Parameter]:
    shapes = MATRICES if name == "Muon" else SHAPES
    return [torch.nn.Parameter(torch.rand(shape, dtype=dtype)) for shape in shapes]


def step(optimizer: torch.optim.Optimizer) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.rand_like(parameter)
    optimizer.step()


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    return storage_bytes(tensors_within(list(optimizer.state.values())))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_state_to_the_byte(name: str, options: dict[str, Any], dtype: torch.dtype) -> None:
    optimizer = getattr(torch.optim, name)(parameters(name, dtype), **options)
    step(optimizer)
    spec = OptimizerSpec.from_fact(optimizer_fact(optimizer))
    assert optimizer_state(spec).bytes == state_bytes(optimizer)
    assert optimizer_state(spec, "cpu").bytes == state_bytes(optimizer)
    assert optimizer_state(spec, "cuda:0").bytes == 0


def test_every_class_of_torch_has_a_formula() -> None:
    for name in torch.optim.__all__:
        cls = getattr(torch.optim, name)
        if not isinstance(cls, type) or cls is torch.optim.Optimizer:
            continue
        fact = {"class": name, "module": cls.__module__, "groups": [{"options": {}}]}
        assert optimizer_state(OptimizerSpec.from_fact(fact)).bytes is not None, name


def test_sparse_adam() -> None:
    table = torch.nn.Embedding(50, 8, sparse=True)
    optimizer = torch.optim.SparseAdam(table.parameters())
    table(torch.tensor([1, 2])).sum().backward()
    optimizer.step()
    spec = OptimizerSpec.from_fact(optimizer_fact(optimizer))
    assert optimizer_state(spec).bytes == state_bytes(optimizer)


def test_lbfgs_once_its_history_is_full() -> None:
    weight = torch.nn.Parameter(torch.linspace(-2, 2, 30))
    scale = torch.linspace(0.5, 20, 30)
    optimizer = torch.optim.LBFGS([weight], history_size=3, max_iter=12, lr=0.02)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = (scale * (weight - 1) ** 2).sum()
        value.backward()
        return value

    optimizer.step(loss)
    assert len(optimizer.state[weight]["old_dirs"]) == 3
    estimate = optimizer_state(OptimizerSpec.from_fact(optimizer_fact(optimizer)))
    assert estimate.bytes == state_bytes(optimizer)
    assert estimate.assumptions


def test_parameters_without_gradient_have_no_state_but_adagrad_s() -> None:
    for name, idle in (("AdamW", 0), ("Adagrad", 1)):
        used, unused = torch.nn.Parameter(torch.rand(10)), torch.nn.Parameter(torch.rand(6))
        optimizer = getattr(torch.optim, name)([used, unused])
        used.grad = torch.rand(10)
        optimizer.step()
        spec = OptimizerSpec.from_fact(optimizer_fact(optimizer))
        assert optimizer_state(spec).bytes == state_bytes(optimizer)
        assert len(optimizer.state) == 1 + idle


def test_groups_have_options_of_their_own() -> None:
    first, second = parameters("SGD", torch.float32), parameters("SGD", torch.float32)
    optimizer = torch.optim.SGD([{"params": first, "momentum": 0.9}, {"params": second}])
    step(optimizer)
    spec = OptimizerSpec.from_fact(optimizer_fact(optimizer))
    assert optimizer_state(spec).bytes == state_bytes(optimizer)


def test_counters_lie_on_the_host_unless_the_step_runs_on_the_device() -> None:
    weight = {"shape": [8], "dtype": "float32", "device": "cuda:0"}
    for options, on_host in (({}, 4), ({"fused": True}, 0), ({"capturable": True}, 0)):
        group = {"options": options, "parameters": [weight]}
        fact = {"class": "AdamW", "module": "torch.optim.adamw", "groups": [group]}
        spec = OptimizerSpec.from_fact(fact)
        assert optimizer_state(spec, "cpu").bytes == on_host
        assert optimizer_state(spec, "cuda:0").bytes == 2 * 8 * 4 + (4 - on_host)


def test_foreign_optimizers_are_not_guessed_at() -> None:
    fact = {"class": "Adafactor", "module": "transformers.optimization", "groups": []}
    spec = OptimizerSpec.from_fact(fact)
    for estimate in (optimizer_state(spec), step_transient(spec)):
        assert estimate.bytes is None
        assert "transformers.optimization" in estimate.formula


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize(
    ("name", "options"),
    [case for case in CASES if "fused" not in case[1] and case[1].get("foreach") is None],
)
def test_what_a_step_holds_for_a_moment(name: str, options: dict[str, Any], foreach: bool) -> None:
    if name == "Muon":
        shapes: list[tuple[int, ...]] = [(48, 64), (24, 64)]
    else:
        shapes = [(64, 96), (64, 96), (32, 96)]
        options = {**options, "foreach": foreach}
    held = [torch.nn.Parameter(torch.rand(shape)) for shape in shapes]
    optimizer = getattr(torch.optim, name)(held, **options)
    step(optimizer)
    for parameter in held:
        parameter.grad = torch.rand_like(parameter)
    with memprof.trace() as traced:
        optimizer.step()
    total = traced.analysis.device("cpu").total
    extra = int(total.max()) - int(total[-1])
    estimate = step_transient(OptimizerSpec.from_fact(optimizer_fact(optimizer)))
    assert estimate.bytes == pytest.approx(extra, rel=0.02, abs=256)
