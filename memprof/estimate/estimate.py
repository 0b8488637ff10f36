"""The estimate of a whole run from a model, what is done with it, and on which machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memprof.estimate.answers import Answers, adapted, answers
from memprof.estimate.cached import cached_bytes
from memprof.estimate.device import DeviceEstimate, device_estimate
from memprof.estimate.experts import active_parameters
from memprof.estimate.fits import fits
from memprof.estimate.hardware import Hardware, all_hardware, hardware
from memprof.estimate.model_spec import ModelSpec
from memprof.estimate.parallel import share
from memprof.estimate.result import Estimate, Peak
from memprof.estimate.roofline import Roofline, roofline, work
from memprof.estimate.run_spec import RunSpec
from memprof.estimate.sources import model_spec

#: What is never estimated where a trace is held against analysis, and why.
LEFT_OPEN: Mapping[str, str] = {
    "inputs": "how many batches are held at once is the program's affair",
    "communication": "no formula for what processes exchange",
    "temporary": "what operations hold for a moment depends on their kernels",
    "unattributed": "what nobody can name has no formula",
}
OUTSIDE = "the CUDA context, libraries and what the allocator leaves unused come on top"
SPLIT_VOCABULARY = (
    "embedding, head and loss are split by the vocabulary, which is filled up to a multiple"
)
Machines = str | Hardware | Sequence[str | Hardware] | None


@dataclass(frozen=True)
class RunEstimate:
    """What a run needs.

    Attributes:
        model: what is run.
        run: how it is run.
        parameters: number of parameters, tied ones once; None where it is not known.
        active_parameters: those that one token passes through.
        devices: what each kind of device holds: one for each stage of a pipeline.
        kv_cache_bytes_per_token: that one more token of one sequence takes on a device; None where
            there is no such cache.
        fits: whether the fullest device's peak fits, by machine; None where that is not known.
        rooflines: how fast each machine could do it at best, by machine.
        answers: on experts, serving, a drafting model and weights on the host.
    """

    model: ModelSpec
    run: RunSpec
    parameters: int | None
    active_parameters: int | None
    devices: tuple[DeviceEstimate, ...]
    kv_cache_bytes_per_token: int | None
    fits: Mapping[str, bool | None]
    rooflines: Mapping[str, Roofline]
    answers: Answers

    @property
    def fullest(self) -> DeviceEstimate:
        """The device that holds most."""
        return max(self.devices, key=lambda device: device.known_bytes)

    @property
    def by_category(self) -> Mapping[str, Estimate]:
        """Each category of the fullest device at its own highest."""
        return self.fullest.by_category

    @property
    def peaks(self) -> Mapping[str, Peak]:
        """The fullest device at the moments that can be the highest."""
        return self.fullest.peaks

    @property
    def peak_bytes(self) -> int | None:
        """The highest of `peaks`; None if one of them is not known."""
        return self.fullest.peak_bytes

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Everything that was taken for granted, each once."""
        parts = [part.assumptions for part in self.by_category.values()]
        peaks = [peak.assumptions for peak in self.peaks.values()]
        return tuple(
            dict.fromkeys(text for each in [*parts, *peaks, _of_run(self.run)] for text in each)
        )


def estimate(model: object, run: RunSpec, on: Machines = None) -> RunEstimate:
    """Says by closed forms how much memory a run needs, and how fast it can be at best.

    Args:
        model: whatever `memprof.estimate.sources.model_spec` reads: a name of the catalogue, a
            file, a configuration, a module, the "model" fact of a trace.
        run: what is done with it.
        on: names or entries of the catalogue of machines; None takes all that are sold.

    Raises:
        UsageError: if the model's configuration lacks what the formulas need, or the run cannot be.
    """
    spec = model_spec(model, run)
    chosen = machines(on)
    shares = [share(spec, run.parallel, stage) for stage in range(run.parallel.pp)]
    cached = [cached_bytes(each.model, run) for each in shares]
    devices = tuple(
        adapted(device_estimate(each, run, kept), each.model, run)
        for each, kept in zip(shares, cached, strict=True)
    )
    stages = [
        found
        for each, kept in zip(shares, cached, strict=True)
        if (found := work(each.model, run, kept)) is not None
    ]
    rooflines = {m.key: roofline(stages, run, m) for m in chosen} if stages else {}
    more = answers(shares[0].model, run, cached[0], chosen, rooflines)
    fullest = max(devices, key=lambda device: device.known_bytes)
    return RunEstimate(
        model=spec,
        run=run,
        parameters=sum(each.elements for each in spec.unique_parameters()) or None,
        active_parameters=active_parameters(spec),
        devices=devices,
        kv_cache_bytes_per_token=cached[0].bytes_per_token,
        fits={machine.key: fits(fullest, machine) for machine in chosen},
        rooflines=rooflines,
        answers=more,
    )


def _of_run(run: RunSpec) -> tuple[str, ...]:
    """What is taken for granted of a run, whatever its model."""
    parallel = run.parallel
    told = {
        SPLIT_VOCABULARY: parallel.tp > 1,
        "a pipeline begins as many calls as it has stages left (1F1B)": parallel.pp > 1,
        OUTSIDE: run.device == "cuda",
    }
    return tuple(text for text, holds in told.items() if holds)


def machines(on: Machines) -> tuple[Hardware, ...]:
    """The machines that are meant: none are all that are sold.

    Raises:
        UsageError: if one is not in the catalogue.
    """
    if on is None:
        return all_hardware()
    if isinstance(on, (str, Hardware)):
        return (hardware(on),)
    return tuple(hardware(machine) for machine in on)
