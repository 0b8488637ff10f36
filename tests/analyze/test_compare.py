"""Measured against estimated, on traces of real runs and against the objects themselves."""

import gc
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers as hf

import memprof
from memprof.analyze import analyze
from memprof.analyze.compare import (
    CategoryComparison,
    compare,
    compare_document,
    estimate_at_peak,
)
from memprof.trace import CATEGORIES
from tests.estimate.oracle import cache_tensors, storage_bytes, tensors_within
from tests.estimate.zoo import VOCABULARY, gpt2, llama
from tests.trace_builder import TraceBuilder

SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


@pytest.fixture(autouse=True)
def _only_this_test_s_models() -> None:
    gc.collect()
    torch.set_num_threads(1)
    hf.logging.set_verbosity_error()


def rows_of(traced: Any) -> dict[str, CategoryComparison]:
    return {row.category: row for row in compare(traced.analysis)}


def ids(batch: int = 2, tokens: int = 12) -> torch.Tensor:
    return torch.randint(1, VOCABULARY, (batch, tokens))


def t5() -> Any:
    config = hf.T5Config(
        vocab_size=VOCABULARY,
        d_model=32,
        d_ff=64,
        d_kv=8,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
    )
    return hf.T5ForConditionalGeneration(config)


def mixtral() -> Any:
    config = hf.MixtralConfig(
        **SIZES, intermediate_size=48, num_key_value_heads=2, num_local_experts=3
    )
    return hf.MixtralForCausalLM(config)


def mamba() -> Any:
    return hf.MambaForCausalLM(
        hf.MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=8)
    )


@pytest.mark.parametrize("make", [llama, gpt2, t5, mixtral, mamba])
def test_training_state_to_the_byte(make: Callable[[], Any]) -> None:
    with memprof.trace() as traced:
        model = make().train()
        optimizer = torch.optim.AdamW(model.parameters())
        for _ in range(2):
            batch = ids()
            model(input_ids=batch, labels=batch).loss.backward()
            made = storage_bytes(p.grad for p in model.parameters() if p.grad is not None)
            optimizer.step()
            optimizer.zero_grad()
    rows = rows_of(traced)
    real = {
        "weights": storage_bytes(model.parameters()),
        "buffers": storage_bytes(model.buffers()),
        "gradients": made,
        "optimizer_state": storage_bytes(tensors_within(list(optimizer.state.values()))),
    }
    for category, nbytes in real.items():
        row = rows[category]
        assert (row.measured_bytes, row.estimated_bytes) == (nbytes, nbytes), category
        assert (row.error_bytes, row.error_percent) == (0, 0.0)
    assert set(rows) == set(CATEGORIES)


@pytest.mark.parametrize("style", ["kept", "deleted", "dropped"])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("make", [llama, gpt2])
def test_activations_of_any_style_of_loop(
    make: Callable[..., Any], dtype: torch.dtype, checkpointing: bool, style: str
) -> None:
    model = make(dtype=dtype, attn_implementation="eager")
    if checkpointing:
        model.activation_checkpointing_enable()
    with memprof.trace() as traced:
        for _ in range(3):
            batch = ids()
            if style == "dropped":
                model(input_ids=batch, labels=batch).loss.backward()
                continue
            output = model(input_ids=batch, labels=batch)
            output.loss.backward()
            if style == "deleted":
                del output
    row = rows_of(traced)["activations"]
    assert row.error_bytes == 0, row
    assert "blocks" in row.explanation or "block inputs" in row.explanation


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (llama, {}),
        (llama, {"num_beams": 3}),
        (llama, {"cache_implementation": "static"}),
        (lambda: llama("Mistral", sliding_window=6), {}),
        (lambda: llama(dtype=torch.bfloat16), {}),
        (gpt2, {}),
        (mixtral, {}),
        (t5, {}),
        (t5, {"num_beams": 2}),
        (mamba, {}),
    ],
)
def test_caches_to_the_byte(make: Callable[[], Any], options: dict[str, Any]) -> None:
    model = make().eval()
    with memprof.trace() as traced:
        prompt = ids(tokens=7)
        model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=5,
            min_new_tokens=5,
            do_sample=False,
            pad_token_id=0,
            **options,
        )
    rows = rows_of(traced)
    held = rows["recurrent_state" if make is mamba else "kv_cache"]
    assert held.measured_bytes > 0
    for category in ("weights", "buffers", "gradients", "kv_cache", "recurrent_state"):
        row = rows[category]
        assert row.error_bytes == 0, row
        assert (row.error_percent, row.estimated_bytes) == (0.0, row.measured_bytes)


def test_a_cache_filled_by_hand() -> None:
    model = llama().eval()
    cache = hf.DynamicCache(config=model.config)
    with memprof.trace() as traced, torch.no_grad():
        for tokens in (6, 3, 1):
            model(input_ids=ids(tokens=tokens), past_key_values=cache)
    row = rows_of(traced)["kv_cache"]
    assert row.error_bytes == 0
    assert row.measured_bytes > storage_bytes(cache_tensors(cache))


def test_the_peak_of_training_is_explained() -> None:
    model = llama()
    optimizer = torch.optim.AdamW(model.parameters())
    with memprof.trace() as traced:
        for _ in range(2):
            batch = ids()
            output = model(input_ids=batch, labels=batch)
            output.loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            del output
    for seen in _moments(traced):
        found = estimate_at_peak(traced.analysis, seen)
        assert set(found) == set(CATEGORIES)
        for category in ("weights", "buffers", "optimizer_state"):
            assert found[category].bytes == seen.by_category[category], (category, seen)


def test_phases_decide_what_gradients_and_activations_there_are() -> None:
    model = llama(num_hidden_layers=3)
    optimizer = torch.optim.AdamW(model.parameters())
    with memprof.trace() as traced:
        for _ in range(2):
            batch = ids()
            model(input_ids=batch, labels=batch).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    analysis = traced.analysis
    optimizing = _last_in(traced, "optimizer")
    assert estimate_at_peak(analysis, optimizing)["gradients"].bytes == storage_bytes(
        model.parameters()
    )
    forward = _last_in(traced, "forward")
    assert estimate_at_peak(analysis, forward)["gradients"].bytes == 0
    at_loss = estimate_at_peak(analysis, forward)["activations"].bytes
    assert at_loss == forward.by_category["activations"]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_every_byte_of_the_peak_at_the_loss(checkpointing: bool) -> None:
    """With a large vocabulary the highest moment is the gradient of the logits."""
    model = llama(vocab_size=2000, dtype=torch.bfloat16)
    if checkpointing:
        model.activation_checkpointing_enable()
    with memprof.trace() as traced:
        batch = ids()
        output = model(input_ids=batch, labels=batch)
        output.loss.backward()
    peak = traced.peak("cpu")
    assert peak.op == "aten._log_softmax_backward_data.default"
    found = estimate_at_peak(traced.analysis, peak)
    for category in ("weights", "buffers", "gradients", "optimizer_state", "activations"):
        assert found[category].bytes == peak.by_category[category], category
    assert found["temporary"].bytes == pytest.approx(peak.by_category["temporary"], abs=16)


def test_gradients_grow_block_by_block() -> None:
    model = llama(num_hidden_layers=4, vocab_size=30)
    with memprof.trace() as traced:
        batch = torch.randint(1, 30, (2, 40))
        model(input_ids=batch, labels=batch).loss.backward()
    peak = _last_in(traced, "backward")
    block = int(peak.module.split(".")[2])
    above = [p for each in model.model.layers[block + 1 :] for p in each.parameters()]
    behind = [*model.model.norm.parameters(), *model.lm_head.parameters()]
    found = estimate_at_peak(traced.analysis, peak)["gradients"]
    assert found.bytes == storage_bytes([*above, *behind])
    assert found.bytes <= peak.by_category["gradients"]


def _moments(traced: Any) -> list[Any]:
    device = traced.analysis.device("cpu")
    names = [_last_in(traced, name) for name in ("forward", "backward", "optimizer")]
    return [device.peak, *names]


def _last_in(traced: Any, phase: str) -> Any:
    """The highest moment of the last phase of a name."""
    trace, device = traced.trace, traced.analysis.device("cpu")
    phases = trace.phases
    row = [n for n in range(len(phases)) if trace.strings[phases.name[n]] == phase][-1]
    inside = (device.time_ns >= phases.begin_ns[row]) & (device.time_ns <= phases.end_ns[row])
    places = inside.nonzero()[0]
    return device.at_event(int(device.events[places[device.total[places].argmax()]]))


def test_what_has_no_formula_says_why() -> None:
    model = hf.FalconForCausalLM(
        hf.FalconConfig(vocab_size=97, hidden_size=32, num_hidden_layers=1, num_attention_heads=4)
    ).train()
    with memprof.trace() as traced:
        batch = ids()
        model(input_ids=batch, labels=batch).loss.backward()
    row = rows_of(traced)["activations"]
    assert row.estimated_bytes is None
    assert row.error_bytes is None
    assert row.error_percent is None
    assert "falcon" in row.explanation


def test_a_plain_module_has_exact_weights() -> None:
    with memprof.trace() as traced:
        network = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Linear(16, 4))
        network(torch.rand(3, 8)).sum().backward()
    rows = rows_of(traced)
    real = storage_bytes(network.parameters())
    for category in ("weights", "gradients"):
        assert (rows[category].measured_bytes, rows[category].estimated_bytes) == (real, real)
    assert rows["activations"].estimated_bytes is None


def test_weights_outside_of_modules_are_told() -> None:
    with memprof.trace() as traced:
        network, loose = torch.nn.Linear(8, 16), torch.nn.Parameter(torch.rand(50))
        optimizer = torch.optim.SGD([*network.parameters(), loose])
        (network(torch.rand(3, 8)).sum() + loose.sum()).backward()
        optimizer.step()
    row = rows_of(traced)["weights"]
    assert row.error_bytes == 50 * 4
    assert "never called" in row.explanation


def test_converted_weights_are_compared_as_they_are_run() -> None:
    with memprof.trace() as traced:
        model = llama().to(torch.bfloat16)
        batch = ids()
        model(input_ids=batch, labels=batch).loss.backward()
    row = rows_of(traced)["weights"]
    assert row.measured_bytes == storage_bytes(model.parameters())
    assert row.error_bytes == 0
    assert "while loading" in row.explanation


def test_the_document_is_plain_data() -> None:
    model = llama().eval()
    with memprof.trace() as traced, torch.no_grad():
        model(input_ids=ids())
    document = compare_document(traced.analysis)
    assert json.loads(json.dumps(document)) == document
    assert document["schema"] == 1
    categories = document["devices"]["cpu"]["categories"]
    assert list(categories) == list(CATEGORIES)
    keys = {"measured_bytes", "estimated_bytes", "error_bytes", "error_percent", "explanation"}
    assert all(keys <= set(row) for row in categories.values())


def test_an_empty_trace_compares_nothing() -> None:
    analysis = analyze(TraceBuilder().trace())
    assert compare(analysis) == []
    assert compare_document(analysis)["devices"] == {}
