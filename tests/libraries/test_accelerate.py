"""accelerate: weights that come from another device or from disk when a module is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.libraries.conftest import Record
from tests.libraries.harness import Watch, needs_gpu, rows, tensors
from tests.oracle.programs import models

accelerate = pytest.importorskip("accelerate")
pytestmark = pytest.mark.filterwarnings("ignore:::(accelerate|transformers)")

Prepare = Callable[[torch.nn.Module, Path], torch.nn.Module]


def offload_to_memory(model: torch.nn.Module, folder: Path) -> torch.nn.Module:
    return accelerate.cpu_offload(model, execution_device=torch.device("cpu"))


def offload_from_a_device(model: torch.nn.Module, folder: Path) -> torch.nn.Module:
    return accelerate.cpu_offload(model, execution_device=torch.device("cuda:0"))


def offload_to_disk(model: torch.nn.Module, folder: Path) -> torch.nn.Module:
    return accelerate.disk_offload(model, str(folder), execution_device=torch.device("cpu"))


def dispatch(model: torch.nn.Module, folder: Path) -> torch.nn.Module:
    devices = {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": "disk"}
    rest = {"model.layers.2": "disk", "model.norm": "cpu", "model.rotary_emb": "cpu"}
    return accelerate.dispatch_model(
        model,
        {**devices, **rest, "lm_head": "cpu"},
        main_device="cpu",
        offload_dir=str(folder),
        force_hooks=True,
    )


def kept_for(model: torch.nn.Module) -> list[list[torch.Tensor]]:
    """What accelerate keeps in memory to be copied into the modules of a model."""
    hooks = [getattr(module, "_hf_hook", None) for module in model.modules()]
    maps = [getattr(hook, "weights_map", None) for hook in hooks]
    kept = [getattr(entry, "dataset", None) for entry in maps]
    return [list((getattr(found, "state_dict", found) or {}).values()) for found in kept]


def held(model: torch.nn.Module, device: str) -> list[torch.Tensor]:
    """The weights that a device holds at this moment."""
    both = tensors([list(model.parameters()), kept_for(model)])
    return [tensor for tensor in both if str(tensor.device) == device]


@pytest.mark.parametrize(
    ("prepare", "device"),
    [
        (offload_to_memory, "cpu"),
        (offload_to_disk, "cpu"),
        (dispatch, "cpu"),
        pytest.param(offload_from_a_device, "cuda:0", marks=needs_gpu),
    ],
)
def test_offloaded(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: Prepare, device: str
) -> None:
    tokens = torch.randint(1, models.VOCABULARY, (2, 8))

    def program(watch: Watch) -> None:
        model = prepare(models.llama().eval(), tmp_path / "weights")
        released = accelerate.hooks.AlignDevicesHook.post_forward

        def post_forward(hook: Any, module: Any, output: Any) -> Any:
            watch.holds("weights", held(model, device), where=type(module).__name__)
            return released(hook, module, output)

        with monkeypatch.context() as patch, torch.no_grad():
            patch.setattr(accelerate.hooks.AlignDevicesHook, "post_forward", post_forward)
            for _ in range(2):
                model(input_ids=tokens)
        watch.holds("weights", held(model, device), where="end")

    recorded = record(program, device=device)
    lookups = [claim for claim in recorded.claims if claim.where == "Embedding"]
    for claim in lookups:
        names = {row.name for row in rows(recorded.at(claim), "weights")}
        assert "model.embed_tokens.weight" in names
    assert len(lookups) == 2


def test_accelerator(record: Record) -> None:
    def program(watch: Watch) -> None:
        accelerator = accelerate.Accelerator(
            cpu=True, mixed_precision="bf16", gradient_accumulation_steps=2
        )
        model = models.llama()
        optimizer = torch.optim.AdamW(model.parameters())
        tokens = torch.utils.data.DataLoader(
            torch.randint(1, models.VOCABULARY, (8, 16)), batch_size=2
        )
        model, optimizer, tokens = accelerator.prepare(model, optimizer, tokens)
        for batch in tokens:
            with accelerator.accumulate(model):
                accelerator.backward(model(input_ids=batch, labels=batch).loss)
                watch.model(model, "after backward")
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
        watch.model(model, "end")
        watch.holds("optimizer_state", list(optimizer.state.values()))

    recorded = record(program)
    assert recorded.phases().count("optimizer") == 2
    assert recorded.phases().count("backward") == 4
