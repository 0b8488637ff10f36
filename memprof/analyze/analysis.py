"""The analysis of a whole trace, device by device, each part worked out when first asked for."""

from __future__ import annotations

from functools import cached_property

from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.levels import levels
from memprof.attribute import Attribution, attribute
from memprof.attribute.lifetime import Lifetimes, lifetimes
from memprof.errors import UsageError
from memprof.trace import Trace


class Analysis:
    """What a trace tells: one `DeviceAnalysis` a device.

    Args:
        trace: a trace, whole or cut short.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._devices: dict[str, DeviceAnalysis] = {}

    @cached_property
    def attribution(self) -> Attribution:
        """What every allocation is."""
        return attribute(self.trace)

    @cached_property
    def lifetimes(self) -> Lifetimes:
        """When and in what phase every allocation lives."""
        return lifetimes(self.trace)

    @property
    def devices(self) -> tuple[str, ...]:
        """Names of the devices that held anything, in order of first use."""
        return self.trace.devices

    def device(self, name: str) -> DeviceAnalysis:
        """Returns the analysis of one of `devices`.

        Raises:
            UsageError: if the trace has no allocation on that device.
        """
        if name not in self.devices:
            known = ", ".join(self.devices) or "no device at all"
            raise UsageError(f"the trace has nothing on {name!r}: it has {known}")
        if name not in self._devices:
            found = DeviceAnalysis(levels(self.trace, self.attribution, name))
            self._devices[name] = found
        return self._devices[name]


def analyze(trace: Trace) -> Analysis:
    """Returns the analysis of a trace; nothing is computed until it is asked for."""
    return Analysis(trace)
