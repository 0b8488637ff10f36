"""What single operations keep for backward, and what they need for a moment."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from .claim import Bench, Claim, Seen, compared

ROWS, WIDTH = 64, 128
HEADS, GROUPS, TEXT, HEAD = 4, 2, 128, 64


def _random(
    bench: Bench, *size: int, dtype: torch.dtype = torch.bfloat16, grad: bool = True
) -> Any:
    return torch.randn(size, dtype=dtype, device=bench.device, requires_grad=grad)


def _kept(bench: Bench, work: Callable[[], Tensor]) -> int:
    """Bytes kept for backward beside the result itself."""
    return bench.moved(work).held - work().nbytes


def a_fused_norm_keeps_its_input_alone(bench: Bench) -> Seen:
    """RMSNorm of PyTorch keeps 4 bytes a row beside its input, which is alive anyway."""
    x = _random(bench, ROWS, WIDTH)
    norm = nn.RMSNorm(WIDTH, dtype=x.dtype, device=x.device)
    return compared({"bytes_per_row": 4}, {"bytes_per_row": _kept(bench, lambda: norm(x)) / ROWS})


def a_norm_written_out_keeps_two_copies(bench: Bench) -> Seen:
    """RMSNorm as in Transformers keeps 6 bytes an element, and 4 a row or twice that."""
    x, weight = _random(bench, ROWS, WIDTH), _random(bench, WIDTH)

    def norm() -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
        return weight * wide.to(x.dtype)

    return compared({"per_element": 6}, {"per_element": _kept(bench, norm) / x.numel()})


def dropout_keeps_a_byte(bench: Bench) -> Seen:
    """Dropout keeps a mask of 1 byte an element."""
    x = _random(bench, ROWS, WIDTH)
    kept = _kept(bench, partial(functional.dropout, x, 0.1))
    return compared({"per_element": 1}, {"per_element": kept / x.numel()})


def softmax_reads_half_precision_itself(bench: Bench) -> Seen:
    """Eager attention needs 8 bytes a score for a moment, and keeps 6 for backward."""
    mask = _random(bench, 1, 1, TEXT, TEXT, grad=False)

    def attention(q: Tensor) -> Tensor:
        scores = torch.matmul(q, q.transpose(2, 3)) * 0.125
        scores = scores + mask
        weights = functional.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype)
        return torch.matmul(weights, q)

    scores = HEADS * TEXT * TEXT
    with torch.no_grad():
        frozen = _random(bench, 1, HEADS, TEXT, HEAD, grad=False)
        moment = bench.moved(partial(attention, frozen)).peak / scores
    kept = _kept(bench, partial(attention, _random(bench, 1, HEADS, TEXT, HEAD))) / scores
    return compared({"moment": 8, "kept": 6}, {"moment": moment, "kept": kept}, within=0.02)


def flash_attention_keeps_a_sum_a_row(bench: Bench) -> Seen:
    """Flash attention keeps 4 bytes a head and token beside its inputs and output."""
    q, k, v = (_random(bench, 1, HEADS, TEXT, HEAD) for _ in range(3))
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        kept = _kept(bench, lambda: functional.scaled_dot_product_attention(q, k, v))
    return compared({"per_row": 4}, {"per_row": kept / (HEADS * TEXT)}, within=0.05)


def flash_backward_has_workspaces(bench: Bench) -> Seen:
    """Its backward adds dq in float32 and 4 bytes a row; grouped heads also dk and dv expanded."""
    expected, seen = {}, {}
    queries = HEADS * TEXT * HEAD
    for name, heads in (("all heads", HEADS), ("grouped heads", GROUPS)):
        q = _random(bench, 1, HEADS, TEXT, HEAD)
        k, v = (_random(bench, 1, heads, TEXT, HEAD) for _ in range(2))
        expected[name] = 4 * queries + 4 * HEADS * TEXT
        expected[name] += 2 * 2 * queries if heads < HEADS else 0
        seen[name] = _backward_workspace(bench, q, k, v)
    return compared(expected, seen, within=0.02)


def _backward_workspace(bench: Bench, q: Tensor, k: Tensor, v: Tensor) -> int:
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        out = functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    given = torch.ones_like(out)
    backward = partial(torch.autograd.grad, out, (q, k, v), given, retain_graph=True)
    moved = bench.moved(backward)
    return moved.peak - moved.held


def a_frozen_weight_keeps_no_input(bench: Bench) -> Seen:
    """A linear layer keeps its input for its weight's gradient only; an adapter needs it again."""
    x = _random(bench, ROWS, WIDTH)
    rank = 16
    weights = {grad: _random(bench, WIDTH, WIDTH, grad=grad) for grad in (True, False)}
    down, up = _random(bench, rank, WIDTH), _random(bench, WIDTH, rank)

    def adapted() -> Tensor:
        inner = -x
        added = functional.linear(functional.linear(inner, down), up)
        return functional.linear(inner, weights[False]) + added

    whole, small = x.nbytes, ROWS * rank * 2
    works = {
        "trained": lambda: functional.linear(-x, weights[True]),
        "frozen": lambda: functional.linear(-x, weights[False]),
        "frozen, with an adapter": adapted,
    }
    seen = {name: _kept(bench, work) for name, work in works.items()}
    return compared(dict(zip(works, (whole, 0, whole + small), strict=True)), seen)


def a_gated_mlp_keeps_four_tensors(bench: Bench) -> Seen:
    """A SwiGLU keeps gate, silu, up and product, without the product if the weights are frozen."""
    expected, seen = {"trained": 8.0, "frozen": 6.0}, {}
    for name, grad in (("trained", True), ("frozen", False)):
        x = _random(bench, ROWS, WIDTH)
        gate, up, down = (_random(bench, WIDTH, WIDTH, grad=grad) for _ in range(3))

        def mlp(x: Tensor = x, gate: Tensor = gate, up: Tensor = up, down: Tensor = down) -> Tensor:
            inner = functional.silu(functional.linear(x, gate)) * functional.linear(x, up)
            return functional.linear(inner, down)

        seen[name] = _kept(bench, mlp) / x.numel()
    return compared(expected, seen)


def autocast_keeps_casts(bench: Bench) -> Seen:
    """Autocast keeps 2 bytes a weight until backward, and casts the input for every layer anew."""
    x = _random(bench, ROWS, WIDTH, dtype=torch.float32)
    weights = [_random(bench, WIDTH, WIDTH, dtype=torch.float32) for _ in range(3)]

    def layers() -> list[Tensor]:
        inner = -x
        with torch.autocast(bench.device.type, torch.bfloat16):
            return [functional.linear(inner, weight) for weight in weights]

    kept = bench.moved(layers).held - sum(out.nbytes for out in layers())
    expected = 3 * 2 * (WIDTH * WIDTH + x.numel())
    return compared({"bytes": expected}, {"bytes": kept})


def a_loss_needs_several_copies_of_the_logits(bench: Bench) -> Seen:
    """Cross entropy of bfloat16 logits needs 8 bytes a logit, 12 cast to float32, 18 with both."""
    base = _random(bench, ROWS, 4 * WIDTH)
    targets = torch.zeros(ROWS, dtype=torch.long, device=bench.device)

    def step(cast: bool, keep: bool) -> Tensor:
        logits = base * 1
        wide = logits.float() if cast else logits
        kept = (logits, wide) if keep else ()
        del logits
        loss = functional.cross_entropy(wide, targets)
        del wide
        gradient = torch.autograd.grad(loss, base)[0]
        assert len(kept) in (0, 2)
        return gradient

    ways = {"bfloat16": (False, True), "cast": (True, False), "cast, both kept": (True, True)}
    seen = {
        name: bench.moved(partial(step, *way)).peak / base.numel() for name, way in ways.items()
    }
    return compared(dict(zip(ways, (8, 12, 18), strict=True)), seen)


_BOOK = "memprof estimate: activations, measured on the CPU until now"
CLAIMS = (
    Claim(a_fused_norm_keeps_its_input_alone, "memprof estimate: fused norms", False),
    Claim(a_norm_written_out_keeps_two_copies, _BOOK, False),
    Claim(dropout_keeps_a_byte, "memprof estimate: GPT-2's dropout", False),
    Claim(softmax_reads_half_precision_itself, "memprof estimate: eager attention", False),
    Claim(flash_attention_keeps_a_sum_a_row, "memprof estimate: flash attention", False),
    Claim(flash_backward_has_workspaces, "FlashAttention 2, mha_bwd", False),
    Claim(a_frozen_weight_keeps_no_input, "memprof estimate: LoRA, derived", False),
    Claim(a_gated_mlp_keeps_four_tensors, _BOOK, False),
    Claim(autocast_keeps_casts, _BOOK, False),
    Claim(a_loss_needs_several_copies_of_the_logits, _BOOK, False),
)
