"""Prefill and decode on the roofline of this machine: FLOPs and bytes of every operation.

python -m samples.lab.roofline

memprof says what is in memory, torch.utils.flop_counter's rules what is computed, a clock the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

import memprof
from memprof.estimate import RunSpec
from samples.lab.machine import fastest, flops, read_bandwidth
from samples.lab.recorded import after_calls
from samples.lab.table import Result, Row, main
from samples.lab.traffic import Traffic

SIZES = {"num_attention_heads": 16, "num_key_value_heads": 8, "vocab_size": 4096}
QUICK = LlamaConfig(hidden_size=256, intermediate_size=704, num_hidden_layers=2, **SIZES)
FULL = LlamaConfig(hidden_size=1024, intermediate_size=2816, num_hidden_layers=4, **SIZES)


@dataclass(frozen=True)
class Call:
    """One call of the model.

    Attributes:
        name: "prefill" or "decode".
        tokens, context: tokens of the call, and of the cache before it.
        traffic: what its operations read and computed.
        cache: bytes of the KV cache after it, as memprof measured them.
        seconds: how long it takes where nobody counts.
    """

    name: str
    tokens: int
    context: int
    traffic: Traffic
    cache: int
    seconds: float

    @property
    def flops(self) -> int:
        return sum(self.traffic.flops.values())

    @property
    def bytes(self) -> int:
        """What must come from memory however well all else is cached: weights and KV cache."""
        return self.traffic.weights + self.cache

    @property
    def intensity(self) -> float:
        """FLOPs a byte."""
        return self.flops / self.bytes


def measure(quick: bool) -> Result:
    """Prefills, decodes, and holds both against the machine's measured peaks."""
    config, prompt = (QUICK, 64) if quick else (FULL, 128)
    model = LlamaForCausalLM(config).eval()
    calls = [called(model, "prefill", prompt, 0), called(model, "decode", 1, prompt)]
    peak, bandwidth = flops(), read_bandwidth(1 << 28)
    rows = [
        *(row for call in calls for row in counted(config, call)),
        *on_the_roofline(calls, peak, bandwidth),
        *computed(),
    ]
    notes = [note for call in calls for note in by_operation(call)]
    return Result("Roofline of prefill and decode", rows, notes)


def called(model: LlamaForCausalLM, name: str, tokens: int, context: int) -> Call:
    """The same call recorded, counted, and timed alone."""
    prompt = torch.ones(1, tokens, dtype=torch.int64)
    cache = filled(model, context)

    def again() -> None:
        with torch.no_grad():
            model(prompt, past_key_values=cache, logits_to_keep=1)
        cache.crop(-tokens)

    with memprof.trace() as tracing:
        again()
    with Traffic(model.parameters()) as traffic:
        again()

    (held,) = after_calls(tracing, "kv_cache", ("prefill", "decode"))
    return Call(name, tokens, context, traffic, held, fastest(again, 5))


def filled(model: LlamaForCausalLM, tokens: int) -> DynamicCache:
    cache = DynamicCache(config=model.config)
    if tokens:
        with torch.no_grad():
            model(torch.ones(1, tokens, dtype=torch.int64), past_key_values=cache)
    return cache


def counted(config: LlamaConfig, call: Call) -> Iterator[Row]:
    """FLOPs and bytes of a call from its shapes, and as its operations came to."""
    size, layers = config.hidden_size, config.num_hidden_layers
    length = call.context + call.tokens
    vocabulary, table = config.vocab_size, config.vocab_size * size
    run = RunSpec(call.name, 1, call.tokens, call.context)
    estimate = memprof.estimate(config, run, "h100")
    (bound,) = estimate.rooflines.values()
    blocks = (estimate.parameters or 0) - 2 * table - size * (2 * layers + 1)
    attended = 4 * layers * size * call.tokens * length
    yield Row(
        f"beside it: FLOPs of {call.name}",
        f"2 × {blocks:,} × {call.tokens} + 4·L·h × {call.tokens} × {length} + 2·V·h of the head",
        2 * blocks * call.tokens + attended + 2 * vocabulary * size,
        call.flops,
        unit="FLOP",
    )
    yield Row(
        "reading all weights once" if call.name == "decode" else "beside it: bytes of prefill",
        f"every weight once, of the table a row a token, and "
        f"{estimate.kv_cache_bytes_per_token:,} B × {length} cached tokens",
        bound.bytes_moved,
        call.bytes,
    )


def on_the_roofline(calls: list[Call], peak: float, bandwidth: float) -> Iterator[Row]:
    ridge = peak / bandwidth
    yield Row("this machine", "a large float32 matrix product", None, peak / 1e9, "GFLOP/s")
    yield Row("this machine", "reading 256 MiB", None, bandwidth / 1e9, "GB/s")
    for call in calls:
        kind = "memory" if call.intensity < ridge else "compute"
        claim = "inference is almost always memory-bound" if kind == "memory" else "beside it"
        least = max(call.flops / peak, call.bytes / bandwidth)
        yield Row(
            f"{claim}: {call.name} is {kind}-bound",
            f"{call.intensity:.3g} FLOP/B, ridge {ridge:.3g}; at least max(FLOPs / peak, "
            "bytes / bandwidth)",
            1e3 * least,
            1e3 * call.seconds,
            unit="ms",
            within=None,
        )


def by_operation(call: Call) -> Iterator[str]:
    """The operations of a call that move the most."""
    for name, moved in call.traffic.moved.most_common(4):
        done = call.traffic.flops[name]
        yield f"{call.name} · {name}: {done:,} FLOP, {moved:,} B, {done / moved:.3g} FLOP/B"


def computed() -> Iterator[Row]:
    run = RunSpec("decode", dtype="bf16")
    (bound,) = memprof.estimate("llama-3-70b", run, "h100").rooflines.values()
    yield Row(
        "70B on an H100: 42 ms, 24 tokens/s",
        f"llama-3-70b: {bound.bytes_moved:,} B / 3.35 TB/s",
        1e3 * bound.seconds,
        unit="ms",
    )
    yield Row(
        "compute-bound only below 1B, long sequences, training",
        "989.4 TFLOP/s dense / 3.35 TB/s: tokens a step from which any size computes longer",
        bound.ridge,
        unit="tokens",
    )


if __name__ == "__main__":
    main(measure, threads=0)
