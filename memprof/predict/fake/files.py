"""Checkpoints and data loaders: nothing is read for its contents, and nothing is overwritten."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import torch
from torch._subclasses.fake_tensor import FakeTensor

from memprof.predict.fake.places import asking_line
from memprof.predict.fake.values import value_of
from memprof.record.imports import ImportWatch
from memprof.record.patches import Patches

Remark = Callable[[str, str], None]
_IN_PROCESS: Final = {
    "num_workers": 0,
    "pin_memory": False,
    "persistent_workers": False,
    "prefetch_factor": None,
    "multiprocessing_context": None,
}
_IN_ONE_THREAD: Final = "HF_DEACTIVATE_ASYNC_LOAD"  # modes belong to threads
_DTYPES: Final = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def install(patches: Patches, remark: Remark) -> None:
    """Patches what reads and writes tensors; undoing `patches` restores it."""

    def skip(*args: Any, **kwargs: Any) -> None:
        remark("not_written", f"{asking_line()}: a file of tensors was not written")

    patches.replace(torch, "save", lambda _: skip)
    patches.replace(FakeTensor, "tolist", lambda _: _tolist)
    patches.replace(FakeTensor, "numpy", lambda _: _numpy)
    patches.replace(torch.utils.data.DataLoader, "__init__", _without_workers)
    patches.set_variable(_IN_ONE_THREAD, "1")
    watch = ImportWatch(
        {
            "safetensors.torch": lambda module: _safetensors(module, patches, skip),
            "transformers.modeling_utils": lambda module: patches.replace(
                module.PreTrainedModel, "save_pretrained", lambda _: skip
            ),
        }
    )
    watch.start()
    patches.on_undo(watch.stop)


def _value(tensor: Any) -> torch.Tensor:
    known = value_of(tensor)
    return torch.zeros(tensor.shape, dtype=tensor.dtype) if known is None else known


def _tolist(tensor: Any) -> Any:
    return _outside(lambda: _value(tensor).tolist())


def _numpy(tensor: Any, *, force: bool = False) -> Any:
    return _outside(lambda: _value(tensor).numpy(force=force))


def _outside(ask: Callable[[], Any]) -> Any:
    """Asks a question about values, to which no mode may listen."""
    with torch.utils._python_dispatch._disable_current_modes():
        return ask()


def _without_workers(make: Callable[..., None]) -> Callable[..., None]:
    """Worker processes could not hand over tensors without contents."""

    def __init__(loader: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        make(loader, *args, **{key: _IN_PROCESS.get(key, kwargs[key]) for key in kwargs})

    return __init__


def _safetensors(module: ModuleType, patches: Patches, skip: Callable[..., None]) -> None:
    for name in ("save_file", "save_model"):
        patches.replace(module, name, lambda _: skip)
    patches.replace(module, "load_file", lambda _: _load_file)
    for owner in _owners_of("safe_open", module.safe_open):
        patches.replace(owner, "safe_open", lambda _: SafeOpen)


def _owners_of(name: str, value: Any) -> list[ModuleType]:
    """The modules that hold a function of another's under its own name."""
    return [module for module in list(sys.modules.values()) if vars(module).get(name) is value]


def _load_file(filename: Any, device: Any = "cpu") -> dict[str, torch.Tensor]:
    with SafeOpen(filename, device=device) as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118


class SafeOpen:
    """What ``safetensors.safe_open`` gives, from the file's header alone.

    The format: eight bytes with the length of the header, then the header as JSON.
    """

    def __init__(self, filename: Any, framework: str = "pt", device: Any = "cpu", **how: Any):
        with Path(filename).open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        self._metadata: dict[str, str] | None = header.pop("__metadata__", None)
        self._entries: dict[str, Any] = header
        self._device = device

    def __enter__(self) -> SafeOpen:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def keys(self) -> list[str]:
        """Names of the tensors."""
        return list(self._entries)

    offset_keys = keys

    def metadata(self) -> dict[str, str] | None:
        """What the file says of itself."""
        return self._metadata

    def get_tensor(self, name: str) -> torch.Tensor:
        """A tensor without contents."""
        entry = self._entries[name]
        return torch.empty(
            entry["shape"], dtype=_DTYPES[entry["dtype"]], device=torch.device(self._device)
        )

    def get_slice(self, name: str) -> _Slice:
        """A tensor of which parts can be taken."""
        return _Slice(self, name, self._entries[name])


class _Slice:
    def __init__(self, opened: SafeOpen, name: str, entry: Any) -> None:
        self._opened, self._name, self._entry = opened, name, entry

    def get_shape(self) -> list[int]:
        return list(self._entry["shape"])

    def get_dtype(self) -> str:
        return str(self._entry["dtype"])

    def __getitem__(self, index: Any) -> torch.Tensor:
        whole = self._opened.get_tensor(self._name)
        return whole if index is Ellipsis else whole[index]
