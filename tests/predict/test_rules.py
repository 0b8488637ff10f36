"""Rules about a GPU's kernels, each by numbers worked out by hand, and each switched off."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import memprof
from memprof.errors import UsageError
from memprof.trace import Trace
from tests.predict.conftest import predicted

MIB = 1 << 20


def births(trace: Trace) -> dict[str, list[int]]:
    """Bytes of every allocation, by what made it."""
    found: dict[str, list[int]] = {}
    for op, nbytes in zip(trace.allocations.op, trace.allocations.nbytes, strict=True):
        found.setdefault(trace.strings[op], []).append(int(nbytes))
    return found


def product() -> None:
    left = torch.randn(64, 64, device="cuda", requires_grad=True)
    for _ in range(2):
        (left @ left).sum().backward()


@pytest.mark.parametrize(("gpu", "nbytes"), [("h100", 32 * MIB), ("a100", 8_519_680)])
def test_a_cublas_workspace_for_the_program_and_one_for_autograd(gpu: str, nbytes: int) -> None:
    prediction = predicted(product, "cuda", gpu=gpu)
    assert births(prediction.trace)["cuBLAS workspace"] == [nbytes, nbytes]
    rest, held = 4 * 64 * 64 * 8, prediction.peak("cuda:0").by_category["temporary"]
    assert 2 * nbytes <= held <= 2 * nbytes + rest


def test_a_rule_is_switched_off_by_its_name() -> None:
    prediction = predicted(product, "cuda", without=["cublas_workspace"])
    assert "cuBLAS workspace" not in births(prediction.trace)
    with pytest.raises(UsageError, match=r"cublas_workspaces.*unknown"):
        predicted(product, "cuda", without=["cublas_workspaces"])


def test_the_host_has_no_such_kernels() -> None:
    prediction = predicted(lambda: torch.randn(8, 8) @ torch.randn(8, 8))
    assert "cuBLAS workspace" not in births(prediction.trace)


BATCH, HEADS, GROUPS, TOKENS, SIZE = 2, 8, 2, 100, 40


def attention(dtype: torch.dtype = torch.bfloat16, groups: int = GROUPS, **options: Any) -> None:
    def tensor(heads: int) -> torch.Tensor:
        shape = (BATCH, heads, TOKENS, SIZE)
        return torch.randn(shape, device="cuda", dtype=dtype, requires_grad=True)

    query, key, value = tensor(HEADS), tensor(groups), tensor(groups)
    attend, gqa = torch.nn.functional.scaled_dot_product_attention, groups != HEADS
    attend(query, key, value, enable_gqa=gqa, **options).sum().backward()


def test_the_sums_of_flash_attention_backward() -> None:
    """Tokens are rounded up to 128 and head sizes to 32; 4 bytes of a float32 each."""
    made = births(predicted(lambda: attention(is_causal=True), "cuda").trace)
    rows = BATCH * HEADS * 128
    assert made["flash attention: sums of dQ"] == [4 * rows * 64]
    assert made["flash attention: sums of softmax"] == [4 * rows]
    expanded = BATCH * HEADS * TOKENS * SIZE * 2
    assert made["flash attention: dK of every head"] == [expanded]
    assert made["flash attention: dV of every head"] == [expanded]
    alike = births(predicted(lambda: attention(groups=HEADS), "cuda").trace)
    assert "flash attention: dK of every head" not in alike


FLASH = "aten._scaled_dot_product_flash_attention.default"
EFFICIENT = "aten._scaled_dot_product_efficient_attention.default"


def ops(**options: Any) -> set[str]:
    return set(births(predicted(lambda: attention(**options), "cuda").trace))


def test_which_attention_a_gpu_takes() -> None:
    assert FLASH in ops()
    assert EFFICIENT in ops(dtype=torch.float32, groups=HEADS)
    assert not ops(dtype=torch.float32) & {FLASH, EFFICIENT}, "float32 with groups"


def test_a_mask_keeps_flash_attention_away() -> None:
    def program() -> None:
        mask = torch.ones(TOKENS, TOKENS, dtype=torch.bool, device="cuda").tril()
        attention(groups=HEADS, attn_mask=mask)

    made = births(predicted(program, "cuda").trace)
    assert EFFICIENT in made
    assert FLASH not in made


def test_the_program_may_choose_the_kernel() -> None:
    def program() -> None:
        with sdpa_kernel(SDPBackend.MATH):
            attention(groups=HEADS)

    assert not set(births(predicted(program, "cuda").trace)) & {FLASH, EFFICIENT}
    found = ops(groups=HEADS)
    assert FLASH in found


def updated(device: str) -> set[str]:
    def program() -> None:
        model = torch.nn.Linear(64, 64, device=device)
        model(torch.randn(4, 64, device=device)).sum().backward()
        torch.optim.AdamW(model.parameters()).step()

    return set(births(predicted(program, "cuda").trace))


def test_optimizers_take_all_parameters_at_once_on_a_gpu_alone() -> None:
    assert "aten._foreach_sqrt.default" in updated("cuda")
    assert "aten._foreach_sqrt.default" not in updated("cpu")


def test_softmax_of_halves_as_float32_makes_no_copy_on_a_gpu() -> None:
    def program(device: str) -> set[str]:
        def run() -> None:
            x = torch.randn(4, 8, device=device, dtype=torch.float16)
            torch.nn.functional.softmax(x, -1, dtype=torch.float32)

        return set(births(predicted(run, "cuda").trace))

    assert "aten._to_copy.default" not in program("cuda")
    assert "aten._to_copy.default" in program("cpu")


def test_dropout_keeps_a_mask_of_one_byte_on_a_gpu() -> None:
    def run() -> None:
        x = torch.randn(1000, device="cuda", requires_grad=True)
        torch.nn.functional.dropout(x, 0.5)

    assert births(predicted(run, "cuda").trace)["aten.native_dropout.default"] == [4000, 1000]


def test_memory_of_a_session_is_let_go() -> None:
    predicted(product, "cuda")
    with memprof.predict() as prediction:
        torch.zeros(8)
    assert not any(name != "cpu" for name in prediction.trace.devices)
