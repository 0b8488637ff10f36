"""Weights that are held twice: cast by autocast, copied, cloned."""

import copy

import pytest
import torch
from torch import nn

from tests.analyze.findings.recorded import RECORDERS, found, linears, total
from tests.estimate.zoo import llama


def train(model: torch.nn.Module, *, cast: bool) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16, enabled=cast):
            loss = model(torch.randn(64, 256)).sum()
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("recorder", RECORDERS)
def test_autocast_holds_every_weight_again_at_half_its_size(recorder: str) -> None:
    model = linears(256, 512, 512, 256)

    (finding,) = found(lambda: train(model, cast=True), recorder, "weight_casts")

    assert finding.bytes == total(model.parameters()) // 2
    assert "bfloat16" in finding.text


@pytest.mark.parametrize("recorder", RECORDERS)
def test_training_in_one_dtype_casts_nothing(recorder: str) -> None:
    model = linears(256, 512, 512, 256)
    for kind in ("weight_casts", "weight_copies"):
        assert found(lambda: train(model, cast=False), recorder, kind) == []


@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_copied_model_that_is_not_trained_is_told(recorder: str) -> None:
    model = linears(256, 512, 256)
    average = copy.deepcopy(model).eval().requires_grad_(False)

    (finding,) = found(lambda: train(model, cast=False), recorder, "weight_copies")

    assert finding.bytes == total(average.parameters())
    assert len(finding.allocations) == 2


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize("before", [True, False])
def test_a_cloned_state_is_told(before: bool, recorder: str) -> None:
    model, kept = linears(256, 512, 256), []

    def clone() -> None:
        kept.extend(value.clone() for value in model.state_dict().values())

    def program() -> None:
        if not before:
            clone()
        train(model, cast=False)

    if before:
        clone()
    (finding,) = found(program, recorder, "weight_copies")

    assert finding.bytes == total(kept)


@pytest.mark.parametrize("recorder", RECORDERS)
def test_two_models_that_are_both_trained_are_no_copies(recorder: str) -> None:
    one, other = linears(256, 512, 256), linears(256, 512, 256)

    def program() -> None:
        train(one, cast=False)
        train(other, cast=False)

    assert found(program, recorder, "weight_copies") == []


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize("tied", [True, False])
def test_a_tie_that_was_cut_is_told(tied: bool, recorder: str) -> None:
    model = llama(tie_word_embeddings=True, vocab_size=2048)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    if not tied:
        model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())

    def program() -> None:
        ids = torch.randint(2048, (2, 8))
        model(input_ids=ids, labels=ids).loss.backward()

    told = found(program, recorder, "untied_weights")

    assert [finding.bytes for finding in told] == ([] if tied else [model.lm_head.weight.nbytes])
