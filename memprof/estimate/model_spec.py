"""A model as the formulas see it: its tensors and its configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from memprof.errors import UsageError
from memprof.estimate.dtypes import ITEMSIZE, dtype_name
from memprof.estimate.quantized import FORMATS, format_name, is_quantised
from memprof.estimate.shapes import parameter_shapes

Config = Mapping[str, Any]
_COMPUTED = ("float64", "float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A parameter or buffer.

    Attributes:
        name: as in the state_dict.
        shape: its sizes.
        dtype: such as "bfloat16".
        device: such as "cuda:0".
        requires_grad: whether it is trained.
        storage: equal numbers mean one storage (tied weights); -1 where it has none of its own.
        format: of quantised weights, such as "int4"; "" for plain elements of `dtype`.
        stored_bytes: what a file says it takes; None where the shape tells.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    device: str
    requires_grad: bool
    storage: int
    format: str = ""
    stored_bytes: int | None = None

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements, and of what it takes to unpack them."""
        if self.stored_bytes is not None:
            return self.stored_bytes
        if self.format:
            return FORMATS[self.format](self.shape)
        return self.elements * ITEMSIZE.get(self.dtype, 0)


@dataclass(frozen=True)
class ModelSpec:
    """One model of a run.

    Attributes:
        root: its name in the program, such as "LlamaForCausalLM".
        class_name: its class with its module.
        config: the Hugging Face configuration as a dict; empty where there is none.
        attention: "sdpa", "eager", ... or "" where it is not known.
        gradient_checkpointing: whether blocks are recomputed in backward.
        parameters, buffers: its tensors, names of tied ones repeated.
        number: tells the models of one run apart.
    """

    root: str
    class_name: str = ""
    config: Config = field(default_factory=dict)
    attention: str = ""
    gradient_checkpointing: bool = False
    parameters: tuple[TensorSpec, ...] = ()
    buffers: tuple[TensorSpec, ...] = ()
    number: int = 0

    @property
    def model_type(self) -> str:
        """The architecture's name in transformers, such as "llama"; "" for other models."""
        return str(self.config.get("model_type", ""))

    @property
    def dtype(self) -> str:
        """The dtype it computes in: what most parameters have; "" where these are not known.

        Integers and floats of less than 16 bits are only stored so, and do not count where there
        is another.
        """
        held: dict[str, int] = {}
        for tensor in self.parameters:
            held[tensor.dtype] = held.get(tensor.dtype, 0) + tensor.nbytes
        plain = {name: nbytes for name, nbytes in held.items() if name in _COMPUTED}
        return max(plain or held, key=lambda name: held[name], default="")

    def unique_parameters(self, device: str | None = None) -> list[TensorSpec]:
        """Parameters with a storage of their own, tied ones once, on one device or on all."""
        return _one_a_storage(self.parameters, device)

    def unique_buffers(self, device: str | None = None) -> list[TensorSpec]:
        """Buffers that share their storage with no parameter, each storage once."""
        taken = {tensor.storage for tensor in self.parameters}
        own = [tensor for tensor in self.buffers if tensor.storage not in taken]
        return _one_a_storage(own, device)

    @classmethod
    def from_fact(cls, fact: Mapping[str, Any]) -> ModelSpec:
        """Reads the "model" fact of a trace."""
        return cls(
            root=str(fact.get("root", "")),
            class_name=str(fact.get("class", "")),
            config=fact.get("config") or {},
            attention=str(fact.get("attention") or ""),
            gradient_checkpointing=bool(fact.get("gradient_checkpointing")),
            parameters=_tensors(fact.get("parameters", ())),
            buffers=_tensors(fact.get("buffers", ())),
            number=int(fact.get("model", 0)),
        )

    @classmethod
    def from_config(cls, config: object, dtype: str = "", device: str = "cpu") -> ModelSpec:
        """Reads a Hugging Face configuration, as an object or as a dict.

        Args:
            config: the configuration.
            dtype: of the parameters; "" takes the configuration's own, else float32.
            device: where they lie.

        Raises:
            UsageError: if it is neither, lacks a size, or names a dtype that does not exist.
        """
        to_dict = None if isinstance(config, type) else getattr(config, "to_dict", None)
        values = config if isinstance(config, Mapping) else to_dict() if to_dict else None
        if not isinstance(values, Mapping) or "model_type" not in values:
            raise UsageError(
                "not a model that can be estimated: give a Hugging Face configuration "
                '(an object, or its dict with "model_type") or the "model" fact of a trace'
            )
        names = values.get("architectures") or ()
        return cls(
            root=str(names[0]) if names else str(values["model_type"]),
            config=values,
            attention=str(getattr(config, "_attn_implementation", None) or ""),
            parameters=_from_shapes(values, dtype, device),
        )

    def with_dtype(self, dtype: str) -> ModelSpec:
        """The same model with its floating-point parameters in another dtype."""
        name = dtype_name(dtype)
        changed = tuple(
            replace(tensor, dtype=name) if "float" in tensor.dtype else tensor
            for tensor in self.parameters
        )
        return replace(self, parameters=changed)

    def quantised(self, form: str) -> ModelSpec:
        """The same model with the weights of its blocks' linear layers in another format."""
        name = format_name(form)
        changed = tuple(
            replace(tensor, format=name, requires_grad=False)
            if is_quantised(tensor.name, tensor.shape)
            else replace(tensor, requires_grad=False)
            for tensor in self.parameters
        )
        return replace(self, parameters=changed)


def _from_shapes(config: Config, dtype: str, device: str) -> tuple[TensorSpec, ...]:
    told = dtype or config.get("dtype") or config.get("torch_dtype") or "float32"
    name = dtype_name(str(told))
    return tuple(
        TensorSpec(tensor, shape, name, device, True, storage)
        for storage, (tensor, shape) in enumerate(parameter_shapes(config) or ())
    )


def _tensors(rows: Sequence[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            name=str(row.get("name", "")),
            shape=tuple(int(size) for size in row["shape"]),
            dtype=str(row["dtype"]),
            device=str(row.get("device", "cpu")),
            requires_grad=bool(row.get("requires_grad", False)),
            storage=int(row.get("storage", -1)),
        )
        for row in rows
    )


def _one_a_storage(tensors: Sequence[TensorSpec], device: str | None) -> list[TensorSpec]:
    """The largest tensor of each storage; those without a storage all stay."""
    largest: dict[tuple[int, str], TensorSpec] = {}
    for tensor in tensors:
        key = (tensor.storage, "" if tensor.storage >= 0 else tensor.name)
        if key not in largest or largest[key].nbytes < tensor.nbytes:
            largest[key] = tensor
    return [tensor for tensor in largest.values() if device in (None, tensor.device)]
