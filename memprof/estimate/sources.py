"""Where a model's description comes from: a name, a file, a configuration, a module, a trace."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from memprof.errors import UsageError
from memprof.estimate.catalog.models import model_config
from memprof.estimate.lora import with_adapters
from memprof.estimate.model_spec import ModelSpec
from memprof.estimate.module import module_spec
from memprof.estimate.run_spec import RunSpec
from memprof.estimate.weight_files import spec_of_gguf, spec_of_safetensors

_INDEX = ".safetensors.index.json"


@runtime_checkable
class Module(Protocol):
    """What memprof needs of a `torch.nn.Module`."""

    def named_parameters(self) -> Any:
        """Names and parameters."""

    def named_buffers(self) -> Any:
        """Names and buffers."""


def model_spec(model: object, run: RunSpec) -> ModelSpec:
    """Reads a model's description from whatever tells it.

    Args:
        model: a `ModelSpec`; a name of the catalogue; the path of a ``config.json``, of a folder
            that has one, of a ``.safetensors`` or ``.gguf`` file; a Hugging Face configuration, as
            an object or a dict; a module; or the "model" fact of a trace.
        run: names the dtype, the format and the device of the weights.

    Raises:
        UsageError: if it is none of these, or lacks what the formulas need.
    """
    spec = _read(model, run)
    if run.dtype:
        spec = spec.with_dtype(run.dtype)
    if run.quantization:
        spec = spec.quantised(run.quantization)
    return with_adapters(spec, run.lora) if run.lora else spec


def _read(model: object, run: RunSpec) -> ModelSpec:
    if isinstance(model, ModelSpec):
        return model
    if isinstance(model, (str, Path)):
        return _named(str(model), run)
    if isinstance(model, Mapping) and "parameters" in model and "root" in model:
        return ModelSpec.from_fact(model)
    if not isinstance(model, type) and isinstance(model, Module):
        return module_spec(model)
    return ModelSpec.from_config(model, run.dtype, run.device)


def _named(name: str, run: RunSpec) -> ModelSpec:
    path = Path(name)
    if path.is_dir():
        return _folder(path, run)
    if path.is_file() or path.suffix in (".json", ".safetensors", ".gguf"):
        return _file(path, run)
    return ModelSpec.from_config(model_config(name), run.dtype, run.device)


def _folder(path: Path, run: RunSpec) -> ModelSpec:
    """A folder as Hugging Face's hub keeps models: its configuration, with what its weights say."""
    if (path / "config.json").is_file():
        return _file(path / "config.json", run)
    weights = sorted(path.glob("*.safetensors")) or sorted(path.glob("*.gguf"))
    if not weights:
        raise UsageError(f"{path}: the folder has no config.json and no weights")
    return _file(weights[0], run) if len(weights) == 1 else spec_of_safetensors(weights)


def _file(path: Path, run: RunSpec) -> ModelSpec:
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    if path.suffix == ".gguf":
        return spec_of_gguf(path)
    if path.suffix == ".safetensors":
        return spec_of_safetensors([path])
    document = _json(path)
    if path.name.endswith(_INDEX):
        names = sorted(set(document.get("weight_map", {}).values()))
        return spec_of_safetensors([path.parent / name for name in names])
    if "model_type" not in document:
        raise UsageError(f'{path}: no "model_type" in it: is it the config.json of a model?')
    try:
        return ModelSpec.from_config(document, run.dtype, run.device)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _json(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as JSON: {error}") from None
    if not isinstance(document, Mapping):
        raise UsageError(f"{path}: the configuration of a model is a JSON object")
    return cast(Mapping[str, Any], document)
