"""How fast a machine can do a call at best: bytes over bandwidth, or operations over FLOPS.

The roofline of Williams et al. (2009). Bytes are what must come from the device's memory: every
weight that is used once a call, keys and values of every cached token. Operations are 2 for each
parameter and token, 3 times as many with a backward (4 with recomputation), and 4·a·d·s for
attention over s tokens. Both are lower bounds of the time: kernels that read twice, launches and
communication come on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memprof.estimate.cache_layout import first_of
from memprof.estimate.cached import CachedBytes
from memprof.estimate.experts import active_parameters, lookup_table, read_bytes
from memprof.estimate.hardware import Hardware
from memprof.estimate.model_spec import ModelSpec
from memprof.estimate.run_spec import RunSpec


@dataclass(frozen=True, slots=True)
class Roofline:
    """The bound of one call on one machine.

    Attributes:
        machine: its key.
        bytes_moved: from and to the memory of the busiest device.
        flops: operations of the busiest device.
        memory_seconds, compute_seconds: how long each takes at best; the latter is None where
            nobody has published the machine's FLOPS.
        seconds: of a call: the longer of both, times the stages of a pipeline.
        tokens_per_second: of the whole run, all replicas.
        intensity: operations per byte; below `ridge` memory decides.
        ridge: of the machine, at the dtype of the computation.
        formula: how the seconds come about.
    """

    machine: str
    bytes_moved: int
    flops: float
    memory_seconds: float
    compute_seconds: float | None
    seconds: float
    tokens_per_second: float
    intensity: float
    ridge: float | None
    formula: str

    @property
    def bound(self) -> str:
        """What decides: "memory" or "compute"."""
        return "memory" if self.memory_seconds >= (self.compute_seconds or 0) else "compute"

    def bandwidth_utilisation(self, tokens_per_second: float, bandwidth: float) -> float:
        """Model bandwidth utilisation: what a measured speed moves, as a share of the bandwidth."""
        calls = tokens_per_second / (self.tokens_per_second * self.seconds)
        return calls * self.bytes_moved / bandwidth


@dataclass(frozen=True, slots=True)
class Work:
    """What a call makes a device do.

    Attributes:
        bytes_moved: between the device and its memory.
        flops: operations.
        dtype: that matrices are multiplied in.
    """

    bytes_moved: int
    flops: float
    dtype: str


def work(model: ModelSpec, run: RunSpec, cached: CachedBytes) -> Work | None:
    """What a call makes a device with its part of a model do; None where its weights are unknown.

    Args:
        model: the device's part.
        run: what is done.
        cached: what it keeps between calls.
    """
    if not model.parameters:
        return None
    return Work(bytes_moved(model, run, cached), operations(model, run), compute_dtype(model, run))


def roofline(stages: Sequence[Work], run: RunSpec, machine: Hardware) -> Roofline:
    """The bound of a call on a machine; without published FLOPS that of its memory alone.

    Args:
        stages: what each stage of the pipeline has to do.
        run: what is done.
        machine: on which machine each device is.
    """
    compute = machine.flops_of(stages[0].dtype)
    memory = [stage.bytes_moved / machine.bandwidth for stage in stages]
    computing = [stage.flops / compute if compute else 0.0 for stage in stages]
    longest = [max(pair) for pair in zip(memory, computing, strict=True)]
    slowest = longest.index(max(longest))
    tokens = run.batch * (1 if run.mode == "decode" else run.tokens)
    return Roofline(
        machine=machine.key,
        bytes_moved=stages[slowest].bytes_moved,
        flops=stages[slowest].flops,
        memory_seconds=memory[slowest],
        compute_seconds=computing[slowest] if compute else None,
        seconds=sum(longest),
        tokens_per_second=tokens * run.parallel.dp / sum(longest),
        intensity=stages[slowest].flops / stages[slowest].bytes_moved,
        ridge=machine.ridge(stages[0].dtype),
        formula=_formula(stages[slowest], machine, compute),
    )


def _formula(stage: Work, machine: Hardware, compute: float | None) -> str:
    text = f"{stage.bytes_moved:,} B / {machine.bandwidth / 1e12:g} TB/s"
    if compute is None:
        return text
    return f"max({text}, {stage.flops:.4g} FLOP / {compute / 1e12:g} TFLOPS of {stage.dtype})"


def compute_dtype(model: ModelSpec, run: RunSpec) -> str:
    """The dtype that matrices are multiplied in; integers are unpacked to 16 bits first."""
    dtype = run.autocast or run.dtype or model.dtype or "float32"
    return {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}.get(dtype, dtype)


def bytes_moved(model: ModelSpec, run: RunSpec, cached: CachedBytes) -> int:
    """Bytes that a call moves between a device and its memory: weights, keys and values, states."""
    rows = run.batch * run.tokens
    read = read_bytes(model, rows)
    if run.mode == "train":
        return read * (4 if run.recomputes else 3)
    return read + cached.kept + 2 * (cached.recurrent_state.bytes or 0)


def operations(model: ModelSpec, run: RunSpec) -> float:
    """Floating-point operations of a call on one device."""
    rows = run.batch * -(-run.tokens // run.parallel.cp)
    table = lookup_table(model)
    used = (active_parameters(model) or 0) - (table.elements if table else 0)
    passes = 1 if run.mode != "train" else 4 if run.recomputes else 3
    return passes * (2.0 * used * rows + _attention(model, run))


def _attention(model: ModelSpec, run: RunSpec) -> float:
    """4·a·d operations for each query and each token it sees, on average half of the new ones."""
    config = model.config
    heads = first_of(config, ("num_attention_heads", "n_head"))
    layers = first_of(config, ("num_hidden_layers", "n_layer"))
    hidden = first_of(config, ("hidden_size", "n_embd"))
    if heads is None or layers is None or hidden is None:
        return 0.0
    width = first_of(config, ("head_dim",)) or hidden // heads
    tokens = -(-run.tokens // run.parallel.cp)
    seen = run.context + (run.tokens + 1) / 2
    return 4.0 * heads * width * layers * run.batch * tokens * seen
