"""The run that the options of ``memprof estimate`` describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memprof.errors import UsageError

if TYPE_CHECKING:
    from memprof.estimate import Drafting, Lora, Parallelism, RunSpec, Serving


def run_of(told: dict[str, Any]) -> RunSpec:
    """The run that the command line describes.

    Args:
        told: the options by name, with their defaults.

    Raises:
        UsageError: if it cannot be.
    """
    from memprof.estimate import CacheOptions, Offloading, RunSpec
    from memprof.estimate.quantized import split_dtype

    if told["seq"] < 1:
        raise UsageError(f"--seq is {told['seq']}: it must be at least 1")
    mode = _mode(told)
    decode = mode == "decode"
    dtype, form = split_dtype(told["dtype"])
    kind, block = told["kv_cache"], told["kv_block"]
    return RunSpec(
        mode=mode,
        batch=told["batch"],
        tokens=1 if decode else told["seq"],
        context=told["seq"] - 1 if decode else 0,
        dtype=dtype,
        quantization=form,
        autocast=told["autocast"],
        optimizer=told["optimizer"],
        optimizer_options=_implementation(told["optimizer_impl"]),
        master_weights=told["master_weights"],
        checkpointing=told["checkpointing"],
        attention=told["attention"],
        device=told["device"],
        loss=told["loss"],
        cache=CacheOptions(kind, told["kv_dtype"], block, expanded=told["expanded"]),
        lora=_lora(told),
        serving=_serving(told["requests"], told["longest"]),
        drafting=_drafting(told),
        offloading=None if told["resident"] is None else Offloading(told["resident"]),
        parallel=_parallelism(told),
    )


def _mode(told: dict[str, Any]) -> Any:
    """What was told, else training where an option makes sense there alone."""
    training = told["optimizer"] or told["lora"] or told["checkpointing"] != "none" or told["zero"]
    return told["mode"] or ("train" if training else "decode")


def _parallelism(told: dict[str, Any]) -> Parallelism:
    from memprof.estimate import Parallelism

    names = ("dp", "zero", "tp", "pp", "cp", "ep")
    return Parallelism(**{name: told[name] for name in names}, sequence=told["sp"])


def _lora(told: dict[str, Any]) -> Lora | None:
    from memprof.estimate import Lora

    return Lora(told["lora"], tuple(told["lora_targets"].split(","))) if told["lora"] else None


def _drafting(told: dict[str, Any]) -> Drafting | None:
    from memprof.estimate import Drafting

    if not told["draft"]:
        return None
    return Drafting(told["draft"], told["proposals"], told["acceptance"])


def _serving(text: str, longest: int) -> Serving | None:
    from memprof.estimate import Request, Serving

    if not text:
        return None
    pairs = [each.strip().split("+") for each in text.split(",")]
    if not all(len(pair) == 2 and all(part.isdigit() for part in pair) for pair in pairs):
        raise UsageError(f"--requests {text!r}: write them like --requests 512+128,64+300")
    return Serving(tuple(Request(int(prompt), int(new)) for prompt, new in pairs), longest)


def _implementation(name: str) -> dict[str, bool]:
    known = {
        "": {},
        "foreach": {"foreach": True},
        "fused": {"fused": True},
        "for-loop": {"foreach": False},
    }
    if name not in known:
        raise UsageError(f"--optimizer-impl {name!r}: choose foreach, fused or for-loop")
    return known[name]
