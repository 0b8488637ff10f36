"""What is asked beyond one call's bytes: experts, serving, drafting, weights on the host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from memprof.estimate.cached import CachedBytes, cached_bytes
from memprof.estimate.device import DeviceEstimate
from memprof.estimate.experts import expert_counts, is_expert, read_bytes, touched_experts
from memprof.estimate.hardware import Hardware
from memprof.estimate.model_spec import ModelSpec
from memprof.estimate.offload import Offload, offload
from memprof.estimate.parallel import share
from memprof.estimate.result import Estimate, Peak
from memprof.estimate.roofline import Roofline
from memprof.estimate.run_parts import Drafting
from memprof.estimate.run_spec import RunSpec
from memprof.estimate.serving import Served, served
from memprof.estimate.sources import model_spec
from memprof.estimate.speculation import Speculation, speculation


@dataclass(frozen=True, slots=True)
class Experts:
    """A mixture of experts in one call.

    Attributes:
        number, chosen: experts of a layer, and those of one token.
        touched: of a layer that the call is expected to read.
        resident_bytes: of all weights.
        moved_bytes: of the weights that the call reads.
    """

    number: int
    chosen: int
    touched: float
    resident_bytes: int
    moved_bytes: int


@dataclass(frozen=True)
class Answers:
    """What is asked beyond one call's bytes; None where it does not apply or was not asked."""

    experts: Experts | None = None
    serving: Served | None = None
    speculation: Speculation | None = None
    offload: Offload | None = None
    seconds_offloaded: Mapping[str, float] | None = None


def answers(
    model: ModelSpec,
    run: RunSpec,
    cached: CachedBytes,
    machines: tuple[Hardware, ...],
    rooflines: Mapping[str, Roofline],
) -> Answers:
    """Answers what a run asks beyond its bytes.

    Args:
        model: one device's part.
        run: what is done.
        cached: what the device keeps between calls.
        machines: that it may run on.
        rooflines: their bounds, by name.
    """
    draft = None if run.drafting is None else draft_spec(run.drafting, run)
    away = None if run.offloading is None else offload(model, run.offloading.resident)
    return Answers(
        experts=_experts(model, run),
        serving=None if run.serving is None else served(run.serving, run.batch, run.cache.block),
        speculation=_speculation(model, draft, run, cached),
        offload=away,
        seconds_offloaded=None if away is None else _seconds(away, run, machines, rooflines),
    )


def draft_spec(drafting: Drafting, run: RunSpec) -> ModelSpec:
    """One device's part of the model that proposes tokens."""
    spec = model_spec(drafting.model, replace(run, drafting=None, quantization="", lora=None))
    return share(spec, replace(run.parallel, pp=1, ep=1), 0).model


def adapted(device: DeviceEstimate, model: ModelSpec, run: RunSpec) -> DeviceEstimate:
    """A device as drafting and offloading leave it.

    Args:
        device: without either.
        model: its part of the model.
        run: tells whether there is one.
    """
    if run.offloading is not None:
        device = with_offload(device, offload(model, run.offloading.resident))
    if run.drafting is not None:
        device = with_draft(device, draft_spec(run.drafting, run), run)
    return device


def with_draft(device: DeviceEstimate, draft: ModelSpec, run: RunSpec) -> DeviceEstimate:
    """A device that holds a drafting model and its cache as well."""
    weights = sum(tensor.nbytes for tensor in draft.unique_parameters())
    cache = cached_bytes(draft, run).kv_cache
    more = {
        "weights": Estimate(weights, f"{weights:,} B of the drafting model"),
        "kv_cache": cache,
    }
    return _changed(device, lambda name, part: _sum(part, more[name]) if name in more else part)


def with_offload(device: DeviceEstimate, away: Offload) -> DeviceEstimate:
    """A device of whose weights some layers lie on the host."""
    held = Estimate(
        away.device_bytes,
        f"{away.resident} of {away.layers} layers, what lies around them, and two layers at a time "
        f"of {away.host_bytes:,} B on the host",
    )
    return _changed(device, lambda name, part: held if name == "weights" else part)


def _changed(device: DeviceEstimate, change: Callable[[str, Estimate], Estimate]) -> DeviceEstimate:
    def changed(parts: Mapping[str, Estimate]) -> dict[str, Estimate]:
        return {name: change(name, part) for name, part in parts.items()}

    peaks = {name: Peak(name, changed(peak.by_category)) for name, peak in device.peaks.items()}
    return DeviceEstimate(device.name, changed(device.by_category), peaks)


def _sum(one: Estimate, other: Estimate) -> Estimate:
    if one.bytes is None or other.bytes is None:
        return one if one.bytes is None else other
    text = f"{one.formula} + {other.formula}"
    return Estimate(one.bytes + other.bytes, text, one.assumptions)


def _experts(model: ModelSpec, run: RunSpec) -> Experts | None:
    own = model.unique_parameters()
    if not any(is_expert(tensor) for tensor in own):
        return None
    number, chosen = expert_counts(model)
    rows = run.batch * run.tokens
    return Experts(
        number,
        chosen,
        touched_experts(number, min(chosen, number), rows),
        sum(tensor.nbytes for tensor in own),
        read_bytes(model, rows),
    )


def _speculation(
    model: ModelSpec, draft: ModelSpec | None, run: RunSpec, cached: CachedBytes
) -> Speculation | None:
    if draft is None or run.drafting is None:
        return None
    rows = run.batch * (run.drafting.proposals + 1)
    return speculation(
        target=read_bytes(model, rows),
        draft=read_bytes(draft, run.batch),
        proposals=run.drafting.proposals,
        acceptance=run.drafting.acceptance,
        target_cache=cached.kept,
        draft_cache=cached_bytes(draft, run).kept,
    )


def _seconds(
    away: Offload,
    run: RunSpec,
    machines: tuple[Hardware, ...],
    rooflines: Mapping[str, Roofline],
) -> dict[str, float]:
    """The least time of a call on each machine that has a link to its host."""
    assert run.offloading is not None
    found = {}
    for machine in machines:
        link = run.offloading.link or machine.host_link
        line = rooflines.get(machine.key)
        if link is not None and line is not None:
            overlapped = run.offloading.overlapped
            found[machine.key] = away.seconds(link, line.seconds, overlapped=overlapped)
    return found
