"""Weights that are trained, told from those that are frozen, as adapters leave most of a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memprof.analyze.moment import Moment
from memprof.analyze.run_facts import run_facts
from memprof.estimate import ModelSpec
from memprof.trace import CATEGORIES, Trace

WEIGHTS = CATEGORIES.index("weights")


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes of weights alive at a moment, by what `requires_grad` said of them.

    Attributes:
        trained_bytes, frozen_bytes: of the weights of models that were called.
        other_bytes: of weights of which nothing is known.
    """

    trained_bytes: int
    frozen_bytes: int
    other_bytes: int


def weights_at(trace: Trace, moment: Moment) -> Weights:
    """Splits the weights of a moment; a storage that several names share is trained if one is."""
    live = moment.live()
    attribution = live.levels.attribution
    chosen = live.allocations[attribution.category[live.allocations] == WEIGHTS]
    trains = _trains(run_facts(trace).models_at(moment.time_ns))
    sums = {True: 0, False: 0, None: 0}
    numbers, place = np.unique(attribution.name[chosen], return_inverse=True)
    held = np.bincount(place, trace.allocations.nbytes[chosen], len(numbers)).astype(np.int64)
    for number, nbytes in zip(numbers.tolist(), held.tolist(), strict=True):
        sums[trains.get(trace.strings[number])] += nbytes
    return Weights(sums[True], sums[False], sums[None])


def _trains(models: list[ModelSpec]) -> dict[str, bool]:
    """By the name that an allocation has: of a second model it begins with the model's own."""
    trains: dict[str, bool] = {}
    for model in models:
        shared = {tensor.storage for tensor in model.parameters if tensor.requires_grad} - {-1}
        for tensor in model.parameters:
            trained = tensor.requires_grad or tensor.storage in shared
            for name in (tensor.name, f"{model.root}.{tensor.name}"):
                trains[name] = trains.get(name, False) or trained
    return trains
