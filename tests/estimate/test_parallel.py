"""What each device holds, against PyTorch's own sharding in a pretended process group."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from torch.testing._internal.distributed.fake_pg import FakeStore

from memprof.errors import UsageError
from memprof.estimate import ModelSpec, Parallelism, RunSpec, estimate
from memprof.estimate.activations import stack_of, total
from memprof.estimate.catalog.models import model_config, model_names
from memprof.estimate.parallel import share, stage_layers
from memprof.estimate.weights import weights
from tests.estimate.zoo import fact_of, gpt2, llama


@pytest.fixture
def four_devices() -> Iterator[None]:
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=4)
    yield
    dist.destroy_process_group()


def local_bytes(tensors: Any) -> int:
    return sum(getattr(each, "_local_tensor", each).untyped_storage().nbytes() for each in tensors)


@pytest.mark.usefixtures("four_devices")
@pytest.mark.parametrize("make", [llama, gpt2, lambda: llama(hidden_size=36, head_dim=6)])
def test_fsdp_leaves_a_device_its_rows_of_everything(make: Any) -> None:
    model = make()
    config = model.config
    for block in model.model.layers if hasattr(model, "model") else model.transformer.h:
        fully_shard(block)
    fully_shard(model)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    run = RunSpec(batch=1, tokens=8, optimizer="adamw", parallel=Parallelism(dp=4, zero=3))
    found = estimate(config, run).by_category
    moments = [
        each for kept in optimizer.state.values() for name, each in kept.items() if name != "step"
    ]
    state = local_bytes(moments) + 4 * len(parameters)
    assert found["weights"].bytes == local_bytes(parameters)
    assert found["gradients"].bytes == local_bytes(p.grad for p in parameters)
    assert found["optimizer_state"].bytes == state


def spec(name: str) -> ModelSpec:
    return ModelSpec.from_config(model_config(name))


@pytest.mark.parametrize("name", ["llama-3-8b", "gpt2-xl", "mixtral-8x7b", "qwen3-30b-a3b"])
@pytest.mark.parametrize("stages", [2, 5])
def test_stages_of_a_pipeline_have_everything_once(name: str, stages: int) -> None:
    whole = spec(name)
    parts = [share(whole, Parallelism(pp=stages), stage).model for stage in range(stages)]
    names = [tensor.name for part in parts for tensor in part.parameters]
    tied = ["transformer.wte.weight"] if name == "gpt2-xl" else []  # it is the head as well
    assert sorted(names) == sorted([*(t.name for t in whole.parameters), *tied])


def test_layers_are_spread_evenly_from_the_first_stage_on() -> None:
    stages = [list(stage_layers(10, 4, stage)) for stage in range(4)]
    assert stages == [[0, 1, 2], [3, 4, 5], [6, 7], [8, 9]]


def divisible(name: str) -> bool:
    config = model_config(name)
    heads = config.get("num_attention_heads") or config.get("n_head") or 2
    return heads % 2 == 0 and config["model_type"] not in ("mamba2", "rwkv", "hyenadna")


@pytest.mark.parametrize("name", [name for name in model_names() if divisible(name)])
def test_two_devices_have_half_of_every_matrix(name: str) -> None:
    """What is more than half are norms, routers, positions and the parts that all must have."""
    whole = spec(name)
    half = share(whole, Parallelism(tp=2), 0).model
    for before, after in zip(whole.parameters, half.parameters, strict=True):
        if is_split(name, before.name, before.shape):
            assert after.shape in halves(before.shape), before.name


#: Parts of the names of matrices that every device has all of.
WHOLE = ("gate.weight", "router", "q_a_proj", "kv_a_proj", "wpe", "shared_expert_gate", "bias")


def is_split(model: str, name: str, shape: tuple[int, ...]) -> bool:
    if len(shape) < 2 or any(part in name for part in WHOLE):
        return False
    one_key_head = model == "gemma-3-1b" and ("k_proj" in name or "v_proj" in name)
    return not one_key_head and "query_key_value" not in name


def halves(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shape with one of its sizes halved, rounded up as a padded vocabulary is."""
    return [
        (*shape[:place], -(-size // 2), *shape[place + 1 :]) for place, size in enumerate(shape)
    ]


def test_tensor_parallelism_of_llama_3_70b() -> None:
    """141.1 GB among 4: a quarter of all but 161 norms of 8,192 elements."""
    part = share(spec("llama-3-70b"), Parallelism(tp=4), 0).model
    norms = 161 * 8192
    assert weights(part).bytes == 2 * ((70_553_706_496 - norms) // 4 + norms)


def test_key_value_heads_are_repeated_where_there_are_more_devices() -> None:
    found = estimate("llama-3-70b", RunSpec(mode="decode", parallel=Parallelism(tp=16)))
    assert found.kv_cache_bytes_per_token == 80 * 1 * 2 * 128 * 2


def test_experts_are_split_whole() -> None:
    whole, part = spec("mixtral-8x7b"), share(spec("mixtral-8x7b"), Parallelism(ep=4), 0).model
    experts = sum(t.elements for t in whole.parameters if ".experts." in t.name)
    rest = sum(t.elements for t in whole.parameters) - experts
    assert sum(t.elements for t in part.parameters) == rest + experts // 4


def test_activations_shrink_as_2205_05198_says() -> None:
    """Tensor parallelism leaves the norms whole; along the sequence these are split as well."""
    whole = ModelSpec.from_fact(fact_of(llama(num_key_value_heads=4)))
    run = RunSpec(batch=2, tokens=16)
    block = total(stack_of(whole, run).block)

    def of(parallel: Parallelism) -> int:
        part = share(whole, parallel, 0).model
        return total(stack_of(part, RunSpec(batch=2, tokens=16, parallel=parallel)).block)

    norms = sum(part.nbytes for part in stack_of(whole, run).block if "norm" in part.what)
    assert of(Parallelism(tp=4)) == norms + (block - norms) // 4
    assert of(Parallelism(tp=4, sequence=True)) == block // 4


def test_the_first_stage_has_the_most_calls_waiting() -> None:
    config = llama(num_hidden_layers=8).config
    run = RunSpec(batch=2, tokens=16, optimizer="sgd", parallel=Parallelism(pp=4))
    kept = [
        device.by_category["activations"].bytes or 0 for device in estimate(config, run).devices
    ]
    assert kept == sorted(kept, reverse=True)


def test_zero_splits_one_thing_after_the_other() -> None:
    def at(zero: int) -> list[int]:
        parallel = Parallelism(dp=8, zero=zero)
        run = RunSpec(batch=1, tokens=8, dtype="bf16", optimizer="adamw", parallel=parallel)
        found = estimate("llama-3-8b", run).by_category
        names = ("weights", "gradients", "optimizer_state")
        return [round((found[name].bytes or 0) / 8_030_261_248, 3) for name in names]

    assert at(0) == [2, 2, 4]
    assert at(1) == [2, 2, 0.5]
    assert at(2) == [2, 0.25, 0.5]
    assert at(3) == [0.25, 0.25, 0.5]


def test_mixed_precision_as_megatron_has_it_is_18_bytes_a_parameter() -> None:
    run = RunSpec(
        tokens=8, dtype="bf16", optimizer="adamw", gradient_dtype="float32", master_weights=True
    )
    found = estimate("llama-3-8b", run).by_category
    held = sum(found[n].bytes or 0 for n in ("weights", "gradients", "optimizer_state"))
    assert held / 8_030_261_248 == pytest.approx(18, abs=0.001)


@pytest.mark.parametrize("parallel", [Parallelism(tp=2), Parallelism(pp=2)])
def test_a_module_that_nobody_knows_is_not_split_by_guessing(parallel: Parallelism) -> None:
    layers = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 8))
    with pytest.raises(UsageError, match="tell"):
        estimate(layers, RunSpec(parallel=parallel))


@pytest.mark.parametrize(
    ("name", "parallel", "reason"),
    [
        ("llama-3-8b", Parallelism(tp=5), "32 attention heads"),
        ("gpt2-xl", Parallelism(tp=2), "25 attention heads"),
        ("llama-3-8b", Parallelism(pp=64), "32 layers"),
        ("llama-3-8b", Parallelism(ep=2), "no experts"),
        ("mixtral-8x7b", Parallelism(ep=3), "8 experts"),
        ("rwkv-4-169m", Parallelism(tp=2), "rwkv"),
    ],
)
def test_what_cannot_be_split_is_refused(name: str, parallel: Parallelism, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        estimate(name, RunSpec(mode="decode", parallel=parallel))
