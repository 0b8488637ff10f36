"""What analysis says at single moments of real runs, and the reasons it gives."""

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import transformers as hf

import memprof
from memprof.analyze.compare import CategoryComparison, compare, estimate_at_peak
from memprof.analyze.moment import Moment
from tests.estimate.zoo import VOCABULARY, gpt2, llama


@pytest.fixture(autouse=True)
def _only_this_test_s_models() -> Iterator[None]:
    hf.logging.set_verbosity_error()
    torch.set_num_threads(1)
    gc.collect()
    yield
    gc.collect()


def ids(vocabulary: int = VOCABULARY) -> torch.Tensor:
    return torch.randint(1, vocabulary, (2, 12))


def train(model: Any, micro_batches: int = 1, kind: type = torch.optim.SGD) -> None:
    optimizer = kind(model.parameters(), lr=1e-3)
    for _ in range(2):
        for _ in range(micro_batches):
            batch = ids(model.config.vocab_size)
            model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def generate(model: Any) -> None:
    batch = ids()
    mask = torch.ones_like(batch)
    model.eval().generate(
        input_ids=batch, attention_mask=mask, max_new_tokens=4, min_new_tokens=4, pad_token_id=0
    )
    model.train()


def traced(*parts: Callable[[], Any]) -> Any:
    with memprof.trace() as tracing:
        for part in parts:
            part()
    return tracing.analysis


def row(analysis: Any, category: str) -> CategoryComparison:
    return next(row for row in compare(analysis) if row.category == category)


def moments(analysis: Any, op: str, module: str) -> list[Moment]:
    """The moments at which an operation made a tensor for a module, in backward."""
    trace, device = analysis.trace, analysis.device("cpu")
    made = [trace.strings[number] == op for number in trace.allocations.op]
    found = [device.at_event(int(event)) for event in trace.allocations.birth[made]]
    return [each for each in found if each.phase.endswith("backward") and each.module == module]


def test_a_cache_of_an_earlier_generation_is_left_open_in_training() -> None:
    model = llama()
    analysis = traced(lambda: generate(model), lambda: train(model, kind=torch.optim.AdamW))
    peak = analysis.device("cpu").peak
    assert peak.by_category["kv_cache"] == 0
    assert estimate_at_peak(analysis, peak)["kv_cache"].bytes is None


def test_states_are_left_open_while_they_are_made() -> None:
    config = hf.MambaConfig(vocab_size=97, hidden_size=32, num_hidden_layers=2, state_size=8)
    model = hf.MambaForCausalLM(config)
    analysis = traced(lambda: generate(model))
    device = analysis.device("cpu")
    states = device.series("recurrent_state")
    first = int((states > 0).argmax())
    early = device.at_event(int(device.events[first]))
    assert estimate_at_peak(analysis, early)["recurrent_state"].bytes is None
    whole = device.at_event(device.category_peaks["recurrent_state"].event)
    assert row(analysis, "recurrent_state").estimated_bytes == whole.by_category["recurrent_state"]


@pytest.mark.parametrize("tied", [False, True])
def test_backward_of_the_head(tied: bool) -> None:
    model = llama(tie_word_embeddings=tied)
    analysis = traced(lambda: train(model, micro_batches=2))
    found = moments(analysis, "aten.mm.default", "lm_head")
    assert found
    expected = estimate_at_peak(analysis, found[0])["activations"].bytes
    assert expected == pytest.approx(found[0].by_category["activations"], rel=0.001)


def test_backward_of_a_tied_embedding_comes_last() -> None:
    analysis = traced(lambda: train(llama(tie_word_embeddings=True)))
    [*_, last] = moments(analysis, "aten.add.Tensor", "model.embed_tokens")
    found = estimate_at_peak(analysis, last)
    assert found["gradients"].bytes == last.by_category["gradients"]
    assert found["activations"].bytes == pytest.approx(last.by_category["activations"], abs=8)


def test_the_gradient_of_a_tied_head_waits_for_the_embedding_s() -> None:
    analysis = traced(lambda: train(gpt2()))
    found = moments(analysis, "aten.mm.default", "transformer.h.1.mlp.c_proj")
    estimated = estimate_at_peak(analysis, found[0])["gradients"].bytes
    assert estimated is not None
    assert estimated <= found[0].by_category["gradients"]


def test_a_graph_without_backward_is_named() -> None:
    model = llama()
    analysis = traced(lambda: model(input_ids=ids()))
    assert row(analysis, "gradients").error_bytes == 0
    kept = row(analysis, "activations")
    assert kept.measured_bytes > 0
    assert "torch.no_grad()" in kept.explanation


def test_models_trained_one_after_the_other() -> None:
    analysis = traced(
        lambda: train(llama(), kind=torch.optim.AdamW), lambda: train(gpt2(), kind=torch.optim.Adam)
    )
    assert "at the same time" in row(analysis, "gradients").explanation
    assert "at the same time" in row(analysis, "optimizer_state").explanation


def test_a_loss_that_is_held_for_one_step_more() -> None:
    model = llama()

    def loop() -> None:
        for _ in range(3):
            batch = ids()
            loss = model(input_ids=batch, labels=batch).loss
            loss.backward()

    held = row(traced(loop), "activations")
    assert held.error_bytes == 4
    assert "loss of the step before" in held.explanation
