"""What one device of a run holds: every category at its highest, and all of them at the peak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from memprof.estimate.activations import activations
from memprof.estimate.cached import CachedBytes
from memprof.estimate.parallel import Share
from memprof.estimate.peaks import training_peaks
from memprof.estimate.result import Estimate, Peak, not_estimated
from memprof.estimate.run_spec import RunSpec
from memprof.estimate.training import (
    Step,
    communication,
    kept_gradients,
    kept_state,
    kept_weights,
    step_activations,
    training_step,
)
from memprof.estimate.weights import buffers, weights
from memprof.estimate.working import Place, working_places

#: Bytes of a token's number.
TOKEN_BYTES = 8
_NOTHING_TRAINED = Estimate(0, "nothing is trained")
_NOTHING_GENERATED = Estimate(0, "nothing is generated")


@dataclass(frozen=True)
class DeviceEstimate:
    """What a device needs.

    Attributes:
        name: "every device", or the stage of the pipeline.
        by_category: each category at its own highest.
        peaks: everything at the moments that can be the highest: "loss", "backward", "optimizer"
            of a training step; the mode's name otherwise.
    """

    name: str
    by_category: Mapping[str, Estimate]
    peaks: Mapping[str, Peak]

    @property
    def highest(self) -> Peak:
        """The highest of `peaks`, as far as they are known."""
        return max(self.peaks.values(), key=lambda peak: peak.known_bytes)

    @property
    def peak_bytes(self) -> int | None:
        """Bytes of the highest peak; None if one of them is not known."""
        found = [peak.bytes for peak in self.peaks.values()]
        known = [nbytes for nbytes in found if nbytes is not None]
        return max(known) if known and len(known) == len(found) else None

    @property
    def known_bytes(self) -> int:
        """Bytes of what is known of the highest peak."""
        return self.highest.known_bytes


def device_estimate(share: Share, run: RunSpec, cached: CachedBytes) -> DeviceEstimate:
    """What a device needs for its share of a run.

    Args:
        share: its part of the model.
        run: what is done.
        cached: what it keeps between calls, if it generates.
    """
    stages = run.parallel.pp
    name = f"stage {share.stage + 1} of {stages}" if stages > 1 else "every device"
    if not share.model.parameters:
        return _without_weights(name, share, run, cached)
    if run.mode == "train":
        return _training(name, training_step(share, run))
    return _generating(name, share, run, cached)


def _training(name: str, step: Step) -> DeviceEstimate:
    peaks = training_peaks(step)
    rows = step.run.batch * step.run.tokens
    by_category = {
        "weights": kept_weights(step),
        "buffers": buffers(step.model),
        "gradients": kept_gradients(step),
        "optimizer_state": kept_state(step),
        "activations": step_activations(step),
        "kv_cache": _NOTHING_GENERATED,
        "recurrent_state": _NOTHING_GENERATED,
        "inputs": Estimate(2 * TOKEN_BYTES * rows, "ids and labels"),
        "communication": communication(step),
        "temporary": max(
            (peak.by_category["temporary"] for peak in peaks.values()),
            key=lambda part: (part.bytes is None, part.bytes or 0),
        ),
        "unattributed": Estimate(0, "analysis leaves nothing without a name"),
    }
    return DeviceEstimate(name, by_category, peaks)


def _generating(name: str, share: Share, run: RunSpec, cached: CachedBytes) -> DeviceEstimate:
    rows = run.batch * run.tokens
    by_category = {
        "weights": weights(share.model),
        "buffers": buffers(share.model),
        "gradients": _NOTHING_TRAINED,
        "optimizer_state": _NOTHING_TRAINED,
        "activations": Estimate(0, "nothing is kept: there is no backward"),
        "kv_cache": cached.kv_cache,
        "recurrent_state": cached.recurrent_state,
        "inputs": Estimate(TOKEN_BYTES * rows, f"numbers of {rows:,} tokens × 8 B"),
        "communication": Estimate(0, "what devices exchange is not counted"),
        "temporary": _NOTHING_TRAINED,
        "unattributed": Estimate(0, "analysis leaves nothing without a name"),
    }
    places = working_places(share.model, run)
    if isinstance(places, str):
        on_top = Estimate(0, places, (f"working memory comes on top: {places}",))
        peak = Peak(run.mode, {**by_category, "temporary": on_top})
        highest = {**by_category, "temporary": not_estimated(places)}
        return DeviceEstimate(name, highest, {run.mode: peak})
    widest = max(places, key=lambda place: place.nbytes)
    peak = max((_at(place, run, cached, by_category) for place in places), key=_known)
    highest = {**by_category, "temporary": _working(widest)}
    return DeviceEstimate(name, highest, {run.mode: peak})


def _at(
    place: Place, run: RunSpec, cached: CachedBytes, by_category: Mapping[str, Estimate]
) -> Peak:
    """Everything at one place of the last layer, the cache as it is then."""
    own = {**by_category, "temporary": _working(place)}
    if place.cached != "copying" and cached.kv_cache.bytes is not None:
        nbytes = cached.kept if place.cached == "all" else cached.before
        done = "has" if place.cached == "all" else "has yet to have"
        text = f"{cached.kv_cache.formula.partition(' = ')[0]}; the last layer {done} its new ones"
        own["kv_cache"] = Estimate(nbytes, text)
    return Peak(run.mode, own)


def _known(peak: Peak) -> int:
    return peak.known_bytes


def _working(place: Place) -> Estimate:
    return Estimate(
        place.nbytes,
        f"{place.what}: {place.formula}",
        ("generation as transformers' generate does it; kernels may need more for themselves",),
    )


def _without_weights(name: str, share: Share, run: RunSpec, cached: CachedBytes) -> DeviceEstimate:
    """An architecture that no formula knows the parameters of."""
    unknown = not_estimated(f'no formula for the weights of "{share.model.model_type}" models')
    generates = run.mode != "train"
    names = ("weights", "buffers", "gradients", "optimizer_state", "temporary", "communication")
    by_category = {
        **dict.fromkeys(names, unknown),
        "activations": activations(share.model, run),
        "kv_cache": cached.kv_cache if generates else _NOTHING_GENERATED,
        "recurrent_state": cached.recurrent_state if generates else _NOTHING_GENERATED,
        "inputs": unknown,
        "unattributed": unknown,
    }
    return DeviceEstimate(name, by_category, {run.mode: Peak(run.mode, by_category)})
