"""An estimate as plain data: what ``memprof estimate --json`` prints."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from memprof.estimate.device import DeviceEstimate
from memprof.estimate.estimate import RunEstimate
from memprof.estimate.hardware import hardware
from memprof.estimate.result import Estimate, Peak
from memprof.estimate.roofline import Roofline
from memprof.estimate.serving import Served


def estimate_document(found: RunEstimate) -> dict[str, Any]:
    """An estimate as plain data; bytes are integers, null where no formula knows them."""
    best = max((line.tokens_per_second for line in found.rooflines.values()), default=None)
    return {
        "schema": 1,
        "model": {
            "name": found.model.config.get("_name") or found.model.root,
            "type": found.model.model_type,
            "dtype": found.model.dtype,
        },
        "run": _run(found),
        "parameters": found.parameters,
        "active_parameters": found.active_parameters,
        **_device(found.fullest),
        "kv_cache_bytes_per_token": found.kv_cache_bytes_per_token,
        "devices": [_device(device) for device in found.devices],
        "fits": dict(found.fits),
        "tokens_per_second_bound": best,
        "machines": {key: _machine(found, key) for key in found.fits},
        **_answers(found),
        "assumptions": list(found.assumptions),
    }


def _answers(found: RunEstimate) -> dict[str, Any]:
    told = found.answers
    per_token = found.kv_cache_bytes_per_token or 0
    document: dict[str, Any] = {}
    if told.experts is not None:
        document["experts"] = asdict(told.experts)
    if told.serving is not None:
        document["serving"] = _serving(told.serving, per_token)
    if told.speculation is not None:
        each = told.speculation
        document["speculation"] = asdict(each) | {
            "bytes_per_token": each.bytes_per_token,
            "gain": each.gain,
        }
    if told.offload is not None:
        document["offload"] = asdict(told.offload) | {"seconds_per_call": told.seconds_offloaded}
    return document


def _serving(told: Served, per_token: int) -> dict[str, Any]:
    caches = {"contiguous": told.contiguous, "paged": told.paged}
    ways = {"static": told.static, "continuous": told.continuous}
    return {
        **{
            name: asdict(cache) | {"waste": cache.waste, "bytes": cache.bytes(per_token)}
            for name, cache in caches.items()
        },
        **{name: asdict(way) | {"utilisation": way.utilisation} for name, way in ways.items()},
    }


def _run(found: RunEstimate) -> dict[str, Any]:
    told = asdict(replace(found.run, drafting=None))
    if found.run.drafting is not None:
        drafting = found.run.drafting
        told["drafting"] = {
            "model": str(drafting.model),
            "proposals": drafting.proposals,
            "acceptance": drafting.acceptance,
        }
    told["devices"] = found.run.parallel.devices
    return {name: value for name, value in told.items() if value not in ("", None, {})}


def _device(device: DeviceEstimate) -> dict[str, Any]:
    return {
        "name": device.name,
        "peak": device.highest.name,
        "peak_bytes": device.peak_bytes,
        "known_bytes": device.known_bytes,
        "by_category": _by_category(device.highest),
        "highest_by_category": {name: _estimate(part) for name, part in device.by_category.items()},
        "peaks": {name: peak.bytes for name, peak in device.peaks.items()},
        "peaks_by_category": {
            name: {each: _estimate(part) for each, part in peak.by_category.items()}
            for name, peak in device.peaks.items()
        },
    }


def _by_category(peak: Peak) -> dict[str, int | None]:
    from memprof.trace import CATEGORIES

    zero = Estimate(0, "")
    return {name: peak.by_category.get(name, zero).bytes for name in CATEGORIES}


def _estimate(part: Estimate) -> dict[str, Any]:
    return {"bytes": part.bytes, "formula": part.formula, "assumptions": list(part.assumptions)}


def _machine(found: RunEstimate, key: str) -> dict[str, Any]:
    machine, line = hardware(key), found.rooflines.get(key)
    return {
        "name": machine.name,
        "projection": machine.projection,
        "capacity_bytes": machine.capacity,
        "usable_bytes": machine.usable,
        "fits": found.fits[key],
        "levels": [asdict(level) for level in machine.levels],
        "roofline": None if line is None else _roofline(line),
    }


def _roofline(line: Roofline) -> dict[str, Any]:
    told = asdict(line)
    del told["machine"]
    return {**told, "bound": line.bound}
