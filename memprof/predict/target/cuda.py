"""Answers of `torch.cuda` about a GPU that is not there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch

from memprof.predict.gpu import Gpu
from memprof.predict.target.meter import Meter
from memprof.predict.target.streams import Event, Stream
from memprof.record.patches import Patches

_NOTHING = (
    "_lazy_init",
    "init",
    "synchronize",
    "empty_cache",
    "ipc_collect",
    "manual_seed",
    "manual_seed_all",
    "seed",
    "seed_all",
    "set_rng_state",
    "set_rng_state_all",
    "set_per_process_memory_fraction",
    "reset_accumulated_memory_stats",
    "_record_memory_history",
)
_LEVELS = ("memory_allocated", "memory_reserved", "memory_cached")


class Cuda:
    """`torch.cuda` of a predicted run.

    Args:
        gpu: the device that it speaks of.
        meter: knows what is allocated.
    """

    def __init__(self, gpu: Gpu, meter: Meter) -> None:
        self._gpu = gpu
        self._meter = meter
        self._current = 0
        self._stream: Stream | None = None

    def install(self, patches: Patches) -> None:
        """Puts the answers in place; undoing `patches` takes them away."""
        answers = self._answers()
        for module in (torch.cuda, torch.cuda.memory, torch.cuda.random, torch.cuda.streams):
            for name, answer in answers.items():
                patches.replace(module, name, _answering(answer))
        patches.replace(torch._C, "_get_accelerator", lambda _: lambda *_: torch.device("cuda"))
        patches.define(torch._C, "_cuda_getCurrentRawStream", lambda index: 0)
        patches.replace(torch.nn.Module, "cuda", lambda _: _module_to_cuda)
        patches.replace(torch.Tensor, "pin_memory", lambda _: lambda tensor, *_: tensor)
        patches.replace(torch.Tensor, "is_pinned", lambda _: lambda *_: True)

    def _answers(self) -> dict[str, Any]:
        gpu = self._gpu
        nothing = dict.fromkeys(_NOTHING, lambda *_, **__: None)
        levels = dict.fromkeys(_LEVELS, self._level)
        highest = dict.fromkeys([f"max_{name}" for name in _LEVELS], self._highest)
        return {
            **nothing,
            **levels,
            **highest,
            "is_available": lambda: True,
            "is_initialized": lambda: True,
            "is_bf16_supported": lambda *_, **__: gpu.major >= 8,
            "device_count": lambda: gpu.count,
            "current_device": lambda: self._current,
            "set_device": self._set_device,
            "get_device_name": lambda *_: gpu.hardware.name,
            "get_device_capability": lambda *_: (gpu.major, gpu.minor),
            "get_device_properties": lambda *_: self._properties(),
            "can_device_access_peer": lambda *_: True,
            "mem_get_info": self._free_and_total,
            "memory_stats": self._statistics,
            "memory_summary": lambda *_, **__: "predicted: see memprof's report",
            "reset_peak_memory_stats": self._reset,
            "reset_max_memory_allocated": self._reset,
            "get_rng_state": lambda *_: torch.zeros(16, dtype=torch.uint8),
            "get_rng_state_all": lambda: [torch.zeros(16, dtype=torch.uint8)] * gpu.count,
            "initial_seed": lambda: 0,
            "current_stream": lambda *_: self._stream or Stream(),
            "default_stream": lambda *_: Stream(),
            "set_stream": self._set_stream,
            "stream": lambda *_: nullcontext(),
            "device": lambda *_: nullcontext(),
            "device_of": lambda *_: nullcontext(),
            "is_current_stream_capturing": lambda: False,
            "Stream": Stream,
            "Event": Event,
        }

    def _device(self, device: Any) -> torch.device:
        index = self._current
        if isinstance(device, int):
            index = device
        elif device is not None and torch.device(device).index is not None:
            index = torch.device(device).index
        return torch.device("cuda", index)

    def _set_device(self, device: Any) -> None:
        self._current = self._device(device).index

    def _set_stream(self, stream: Stream) -> None:
        self._stream = stream

    def _level(self, device: Any = None) -> int:
        return self._meter.level[self._device(device)]

    def _highest(self, device: Any = None) -> int:
        return self._meter.highest[self._device(device)]

    def _reset(self, device: Any = None) -> None:
        self._meter.reset(self._device(device))

    def _free_and_total(self, device: Any = None) -> tuple[int, int]:
        total = self._gpu.total_memory
        return max(0, total - self._level(device)), total

    def _statistics(self, device: Any = None) -> dict[str, int]:
        levels = {"current": self._level(device), "peak": self._highest(device)}
        kinds = ("allocated_bytes", "reserved_bytes", "active_bytes", "requested_bytes")
        return {f"{kind}.all.{when}": levels[when] for kind in kinds for when in levels}

    def _properties(self) -> SimpleNamespace:
        gpu = self._gpu
        return SimpleNamespace(
            name=gpu.hardware.name,
            major=gpu.major,
            minor=gpu.minor,
            total_memory=gpu.total_memory,
            multi_processor_count=gpu.multiprocessors,
            warp_size=32,
            max_threads_per_multi_processor=2048,
            regs_per_multiprocessor=65536,
            is_integrated=0,
            is_multi_gpu_board=0,
        )


def _answering(answer: Any) -> Callable[[Any], Any]:
    return lambda _: answer


def _module_to_cuda(module: torch.nn.Module, device: Any = None) -> torch.nn.Module:
    index = "" if device is None else f":{torch.device('cuda', device).index}"
    return module.to(f"cuda{index}")
