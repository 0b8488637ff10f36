"""Does it fit? And what is the largest batch, context or model that does?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, Literal

from memprof.errors import UsageError
from memprof.estimate.answers import adapted
from memprof.estimate.cached import cached_bytes
from memprof.estimate.catalog.models import model_names
from memprof.estimate.device import DeviceEstimate, device_estimate
from memprof.estimate.hardware import Hardware
from memprof.estimate.model_spec import ModelSpec
from memprof.estimate.parallel import share
from memprof.estimate.run_spec import RunSpec
from memprof.estimate.sources import model_spec

#: No batch or context is looked for above this.
MOST: Final = 2**27
Growing = Literal["batch", "seq"]


def fits(device: DeviceEstimate, machine: Hardware) -> bool | None:
    """Whether a device's peak fits on a machine.

    The CUDA context, libraries and what the allocator leaves unused come on top.

    Returns:
        None where what is known fits and something else is not known.
    """
    if device.known_bytes > machine.holds:
        return False
    return True if device.peak_bytes is not None else None


def fullest_device(model: ModelSpec, run: RunSpec) -> DeviceEstimate:
    """The device of a run that holds most."""
    shares = [share(model, run.parallel, stage) for stage in range(run.parallel.pp)]
    devices = [
        adapted(device_estimate(each, run, cached_bytes(each.model, run)), each.model, run)
        for each in shares
    ]
    return max(devices, key=lambda device: device.known_bytes)


def largest_run(model: object, run: RunSpec, machine: Hardware, what: Growing) -> int | None:
    """The largest batch or length with which a run fits on a machine; 0 where not even 1 does.

    Args:
        model: whatever `model_spec` reads.
        run: all the rest of it.
        machine: where it shall fit.
        what: "batch", or "seq": tokens of a call, in decode cached ones.

    Returns:
        None where a part of the peak is not known, or where nothing grows with it.
    """
    spec = model_spec(model, run)
    if fullest_device(spec, grown(run, what, 1)).peak_bytes is None:
        return None
    found = _largest(lambda size: bool(fits(fullest_device(spec, grown(run, what, size)), machine)))
    return None if found >= MOST else found


def largest_model(run: RunSpec, machine: Hardware) -> str | None:
    """The model of the catalogue with most parameters that fits; None where none does."""
    fitting: dict[str, int] = {}
    for name in model_names():
        try:
            spec = model_spec(name, run)
            if fits(fullest_device(spec, run), machine):
                fitting[name] = sum(tensor.elements for tensor in spec.unique_parameters())
        except UsageError:  # it cannot be split in the way the run says
            continue
    return max(fitting, key=lambda name: fitting[name], default=None)


def grown(run: RunSpec, what: Growing, size: int) -> RunSpec:
    """The same run with another batch or length."""
    if what == "batch":
        return replace(run, batch=size)
    if run.mode == "decode":
        return replace(run, context=size - 1)
    return replace(run, tokens=size)


def _largest(fitting: Callable[[int], bool]) -> int:
    """The largest number for which something fits, 0 where not even 1 does: doubling, halving."""
    if not fitting(1):
        return 0
    low, high = 1, 2
    while high < MOST and fitting(high):
        low, high = high, 2 * high
    while high - low > 1 and low < MOST:
        middle = (low + high) // 2
        low, high = (middle, high) if fitting(middle) else (low, middle)
    return MOST if high >= MOST else low
