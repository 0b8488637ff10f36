"""What a program finds in the fake world, and that nothing of it stays behind."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.optim import optimizer
from torch.utils.data import DataLoader, TensorDataset

import memprof
from memprof.errors import UsageError
from memprof.predict.fake.mode import CannotPredictError
from memprof.predict.target.accelerator import _guards, _hooks

GIB = 1 << 30


def test_values_that_steer_a_program_are_known() -> None:
    with memprof.predict():
        lengths = torch.tensor([3, 1, 2], device="cuda")
        assert lengths.sum().item() == 6
        assert lengths.tolist() == [3, 1, 2]
        assert (lengths > 1).nonzero().shape == (2, 1)
        assert torch.randn(3, 4, device="cuda")[lengths > 1].shape == (2, 4)
        assert np.asarray(lengths.cpu()).tolist() == [3, 1, 2]
        lengths += 1
        assert int(lengths.max()) == 4
        lengths.view(3, 1)[0] = 7
        assert lengths[0].item() == 7
        assert not torch.equal(lengths, lengths + 1)


def test_unknown_values_have_stand_ins_and_the_line_that_asked_is_named() -> None:
    with memprof.predict() as prediction:
        logits = torch.randn(2, 1000, device="cuda")
        assert logits.sum().item() == 1.0
        assert not torch.isnan(logits).any()
        assert 0 < logits.argmax(-1)[0].item() < 999
        chosen = torch.randn(16, 4000, device="cuda")[:, :8].topk(2).indices
        assert torch.bincount(chosen.flatten().cpu()).tolist() == [4] * 8
        assert torch.masked_select(logits, logits > 0).shape == (2000,)
    texts = [remark.text for remark in prediction.trace.warnings]
    assert any("test_world.py:" in text and "1.0 was taken" in text for text in texts)


def test_what_the_gpu_says_of_itself() -> None:
    with memprof.predict(gpu="a100-40gb"):
        assert torch.cuda.is_available()
        assert torch.cuda.get_device_capability() == (8, 0)
        assert "A100" in torch.cuda.get_device_name(0)
        held = torch.empty(GIB + 1, dtype=torch.uint8, device="cuda")
        del held
        kept = torch.empty(GIB, dtype=torch.uint8, device="cuda:0")
        assert torch.cuda.memory_allocated() == GIB
        assert torch.cuda.max_memory_allocated("cuda") == GIB + 512
        free, total = torch.cuda.mem_get_info()
        assert total - free == GIB
        torch.cuda.reset_peak_memory_stats()
        assert torch.cuda.max_memory_allocated() == GIB
        with torch.cuda.stream(torch.cuda.Stream()):
            torch.cuda.synchronize()
        del kept


def test_a_module_moves_and_changes_its_type() -> None:
    with memprof.predict() as prediction:
        model = torch.nn.Linear(1000, 1000, bias=False)
        kept = model.weight
        model(torch.randn(1, 1000)).sum().backward()
        model.to(torch.bfloat16).cuda()
        assert model.weight is kept
        assert model.weight.dtype is torch.bfloat16
        assert model.weight.device == torch.device("cuda", 0)
        assert model.weight.grad is not None
        assert model.weight.grad.device.type == "cuda"
    end = {name: prediction.analysis.device(name).end for name in prediction.trace.devices}
    assert end["cuda:0"].by_category["weights"] == 2_000_000
    assert end["cpu"].by_category["weights"] == 0


def test_autocast_on_the_gpu() -> None:
    with memprof.predict():
        model = torch.nn.Linear(8, 8).cuda()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            assert model(torch.randn(2, 8, device="cuda")).dtype is torch.bfloat16


def test_a_loader_with_workers() -> None:
    with memprof.predict():
        data = TensorDataset(torch.randn(64, 8), torch.arange(64))
        loader = DataLoader(data, batch_size=16, shuffle=True, num_workers=2, pin_memory=True)
        batches = [(x.to("cuda", non_blocking=True), y.tolist()) for x, y in loader]
    assert sorted(number for _, numbers in batches for number in numbers) == list(range(64))
    assert {x.shape for x, _ in batches} == {(16, 8)}


def test_files_of_tensors_are_not_read_and_not_written(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    state = {"weight": torch.ones(100, 10, dtype=torch.bfloat16)}
    torch.save(state, tmp_path / "state.pt")
    safetensors.save_file(state, tmp_path / "state.safetensors")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with memprof.predict() as prediction:
        for loaded in (
            torch.load(tmp_path / "state.pt", map_location="cuda"),
            safetensors.load_file(tmp_path / "state.safetensors", device="cuda"),
        ):
            assert type(loaded["weight"]) is FakeTensor
            assert loaded["weight"].shape == (100, 10)
            assert loaded["weight"].device.type == "cuda"
            torch.save(loaded, tmp_path / "state.pt")
            safetensors.save_file(loaded, tmp_path / "state.safetensors")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert any("was not written" in remark.text for remark in prediction.trace.warnings)


@torch.library.custom_op("memprof_tests::unknown", mutates_args=())
def unknown(x: torch.Tensor) -> torch.Tensor:
    return x.clone()


def test_what_cannot_be_faked_is_named_with_its_line() -> None:
    with (
        pytest.raises(CannotPredictError, match=r"test_world.py:\d+: memprof_tests.unknown"),
        memprof.predict(),
    ):
        unknown(torch.ones(3, device="cuda"))


def test_a_recording_within_a_prediction_does_nothing(tmp_path: Path) -> None:
    with memprof.predict() as prediction, memprof.trace(tmp_path / "trace.json"):
        kept = torch.ones(1000)
    del kept
    assert not list(tmp_path.iterdir())
    assert 4000 in prediction.trace.allocations.nbytes.tolist()


def state() -> dict[str, Any]:
    """What a prediction replaces, as it is now."""
    answers = vars(torch.cuda)
    return {
        **{f"cuda.{name}": answers[name] for name in sorted(answers) if not name.startswith("__")},
        "attention": torch.nn.functional.scaled_dot_product_attention,
        "save": torch.save,
        "to": torch.nn.Module.to,
        "cuda": torch.nn.Module.cuda,
        "replicas": torch.nn.parallel.DistributedDataParallel.__init__,
        "buckets": torch.distributed.Reducer._rebuild_buckets,
        "assignment": torch.distributed._compute_bucket_assignment_by_size,
        "adam": torch.optim.Adam.__init__,
        "data": FakeTensor.data,
        "types": list(optimizer._foreach_supported_types),
        "swap": torch.utils.swap_tensors,
        "environment": dict(os.environ),
        "dtype": torch.get_default_dtype(),
        "multithreading": torch._C._is_multithreading_enabled(),
        "guard": _guards()[1],
        "hooks": ctypes.cast(_hooks(), ctypes.POINTER(ctypes.c_void_p))[0],
    }


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_stays_behind(fails: bool) -> None:
    before = state()
    changes = ["fused", "checkpointing", "8bit", "bf16"]
    try:
        with memprof.predict(ranks=8, strategy="fsdp2", changes=changes):
            assert state() != before
            if fails:
                raise KeyError("the program's own")
    except KeyError:
        pass
    assert state() == before
    assert not torch.distributed.is_initialized()


def test_refused() -> None:
    for options, text in (
        ({"device": "tpu"}, "'tpu' cannot be predicted"),
        ({"gpu": "h1000"}, "not in the catalogue"),
        ({"ranks": 8, "rank": 8}, "no rank 8 of 8"),
        ({"ranks": 8, "strategy": "fsdp3"}, "'fsdp3' is unknown"),
        ({"strategy": "fsdp2"}, "needs --ranks"),
        ({"changes": ["magic"]}, "'magic' is unknown"),
    ):
        with pytest.raises(UsageError, match=text):
            memprof.predict(**options)
