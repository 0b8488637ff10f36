"""Names and owners: every storage is called what the program calls it."""

from collections import defaultdict

import torch
from torch import nn

import memprof
from memprof.analyze import Analysis
from memprof.trace import CATEGORIES


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("scale", torch.ones(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.embed(x))


def names_by_category(analysis: Analysis) -> dict[str, set[str]]:
    names: defaultdict[str, set[str]] = defaultdict(set)
    found = analysis.attribution
    for category, name in zip(found.category, found.name, strict=True):
        if name:
            names[CATEGORIES[category]].add(analysis.trace.strings[name])
    return names


def test_training_names_weights_gradients_and_states_alike() -> None:
    with memprof.trace() as traced:
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
        optimizer = torch.optim.Adam(model.parameters())
        model(torch.randn(3, 4)).sum().backward()
        optimizer.step()
    names = names_by_category(traced.analysis)
    assert names["weights"] == {"0.weight", "0.bias", "1.weight", "1.bias"}
    assert names["gradients"] == names["weights"]
    assert names["optimizer_state"] == {
        f"{weight}.{state}"
        for weight in names["weights"]
        for state in ("step", "exp_avg", "exp_avg_sq")
    }


def test_state_and_gradients_belong_to_the_module_of_their_parameter() -> None:
    with memprof.trace() as traced:
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
        optimizer = torch.optim.Adam(model.parameters())
        model(torch.randn(3, 4)).sum().backward()
        optimizer.step()
    held = traced.analysis.device("cpu").end.live().rows()
    owned = {(row.category, row.module) for row in held if row.name.startswith("1.")}
    assert owned == {("weights", "1"), ("gradients", "1"), ("optimizer_state", "1")}


def test_what_exists_before_the_trace_is_named_once_it_is_used() -> None:
    model = Tied()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.tensor([[1, 2]])).sum().backward()
    optimizer.step()
    with memprof.trace() as traced:
        model(torch.tensor([[1, 2]])).sum().backward()
        optimizer.step()
    names = names_by_category(traced.analysis)
    assert "embed.weight" in names["weights"]
    assert "embed.weight" in names["gradients"]
    assert "embed.weight.momentum_buffer" in names["optimizer_state"]
    assert "scale" in names["buffers"]


def test_a_model_that_is_never_called_still_has_names() -> None:
    model = Tied()
    with memprof.trace() as traced:
        pass
    names = names_by_category(traced.analysis)
    assert any(name.endswith("embed.weight") for name in names["weights"])
    del model


def test_tied_weights_count_once() -> None:
    model = Tied()
    expected = model.embed.weight.untyped_storage().nbytes()
    with memprof.trace() as traced:
        model(torch.tensor([[1, 2]]))
    end = traced.analysis.device("cpu").end.live()
    rows = [row for row in end.rows() if row.name.endswith(("embed.weight", "head.weight"))]
    assert [row.bytes for row in rows] == [expected]


def test_states_in_nested_lists_are_found_by_structure() -> None:
    class Odd(torch.optim.Optimizer):
        def __init__(self, parameters: list[nn.Parameter]) -> None:
            super().__init__(parameters, {})

        def step(self, closure: None = None) -> None:
            for group in self.param_groups:
                for parameter in group["params"]:
                    self.state[parameter]["memory"] = [
                        {"past": torch.zeros_like(parameter)},
                        (torch.zeros(7),),
                    ]

    parameter = nn.Parameter(torch.ones(5))
    optimizer = Odd([parameter])
    with memprof.trace() as traced:
        (parameter * 2).sum().backward()
        optimizer.step()
    states = names_by_category(traced.analysis)["optimizer_state"]
    assert states == {"memory.0.past", "memory.1.0"}
    assert traced.analysis.device("cpu").end.by_category["optimizer_state"] == 4 * (5 + 7)


def test_inputs_and_the_loss_are_what_they_are() -> None:
    model = nn.Linear(4, 4)
    with memprof.trace() as traced:
        batch = torch.randn(64, 4)
        loss = model(batch).sum()
        loss.backward()
    rows = {row.bytes: row for row in traced.analysis.device("cpu").end.live().rows()}
    assert rows[64 * 4 * 4].category == "inputs"
    assert rows[64 * 4 * 4].name == "args.0"
    del loss


def test_caches_of_other_libraries_are_found_by_their_argument() -> None:
    class Decoder(nn.Module):
        def forward(self, x: torch.Tensor, kv_cache: list[torch.Tensor]) -> torch.Tensor:
            kv_cache.append(x.clone())
            return x

    model, cache = Decoder(), []
    with memprof.trace() as traced, torch.no_grad():
        for _ in range(3):
            model(torch.randn(2, 8), kv_cache=cache)
    assert traced.analysis.device("cpu").end.by_category["kv_cache"] == 3 * 2 * 8 * 4


def test_a_graph_from_before_the_trace_keeps_activations() -> None:
    model = nn.Linear(8, 8)
    hidden = model(torch.ones(4, 8)).tanh()
    out = hidden.pow(2).sum()
    kept = hidden.untyped_storage().nbytes()
    del hidden
    with memprof.trace() as traced:
        out.backward()
    device = traced.analysis.device("cpu")
    assert device.at_event(0).levels.series("activations").max() >= kept
    assert device.end.by_category["activations"] == 0


def test_zero_tensors_have_no_memory() -> None:
    with memprof.trace() as traced:
        before = len(traced._session.storages.live)  # type: ignore[union-attr]
        zero = torch._efficientzerotensor(1 << 20)
        product = zero * torch.ones(1)
        assert len(traced._session.storages.live) == before  # type: ignore[union-attr]
    del zero, product


def test_random_states_are_seen() -> None:
    with memprof.trace() as traced:
        state = torch.get_rng_state()
    assert state.untyped_storage().nbytes() in traced.trace.allocations.nbytes
    torch.set_rng_state(state)
