"""Adapters against peft's own."""

import peft
import pytest
import torch

from memprof.errors import UsageError
from memprof.estimate import Lora, RunSpec, estimate
from tests.estimate.oracle import storage_bytes
from tests.estimate.zoo import llama


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # asked by peft
@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), ("down_proj", "o_proj", "k_proj")])
def test_weights_gradients_and_state_are_those_of_peft(targets: tuple[str, ...]) -> None:
    model = llama(dtype=torch.bfloat16)
    config = model.config
    adapted = peft.get_peft_model(
        model, peft.LoraConfig(r=5, target_modules=list(targets), task_type="CAUSAL_LM")
    )
    trained = [p for p in adapted.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained)
    ids = torch.randint(1, 90, (2, 6))
    adapted(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    state = [each for kept in optimizer.state.values() for each in kept.values()]
    dtype = str(trained[0].dtype).removeprefix("torch.")
    run = RunSpec(batch=2, tokens=6, dtype="bf16", optimizer="adamw", lora=Lora(5, targets, dtype))
    found = estimate(config, run).by_category
    assert found["weights"].bytes == storage_bytes(adapted.parameters())
    assert found["gradients"].bytes == storage_bytes(p.grad for p in trained)
    assert found["optimizer_state"].bytes == storage_bytes(state)
    assert found["activations"].bytes is None
    assert "frozen" in found["activations"].formula


def test_gpt2_has_its_inputs_first() -> None:
    run = RunSpec(tokens=4, optimizer="sgd", lora=Lora(3, ("c_attn",)))
    found = estimate("gpt2", run).by_category["gradients"]
    assert found.bytes == 12 * 3 * (768 + 3 * 768) * 4


def test_a_layer_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="did you mean q_proj"):
        estimate(llama().config, RunSpec(lora=Lora(4, ("q_prj",))))
