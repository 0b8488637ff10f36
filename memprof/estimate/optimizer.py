"""Optimizer state of every class in torch.optim, to the byte."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from memprof.errors import UsageError
from memprof.estimate.dtypes import ITEMSIZE
from memprof.estimate.model_spec import TensorSpec
from memprof.estimate.result import Estimate, not_estimated, total

Options = Mapping[str, Any]
#: Step counters and their like have the default dtype, float32 unless the program changes it.
SCALAR_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Parameters with options of their own.

    Attributes:
        options: such as `amsgrad`, `momentum`, `fused`; missing ones are PyTorch's defaults.
        parameters: shape, dtype and device of each one that gets a gradient.
        idle: the same of those that get none.
    """

    options: Options
    parameters: tuple[tuple[tuple[int, ...], str, str], ...]
    idle: tuple[tuple[tuple[int, ...], str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class OptimizerSpec:
    """An optimizer: its class, the module that defines it, and its groups."""

    name: str
    module: str
    groups: tuple[ParameterGroup, ...]

    @classmethod
    def from_fact(cls, fact: Mapping[str, Any]) -> OptimizerSpec:
        """Reads the "optimizer" fact of a trace."""
        groups = tuple(_group(group) for group in fact.get("groups", ()))
        return cls(str(fact.get("class", "")), str(fact.get("module", "")), groups)

    @classmethod
    def of_model(cls, name: str, options: Options, tensors: Iterable[TensorSpec]) -> OptimizerSpec:
        """A class of torch.optim that updates the given parameters.

        Raises:
            UsageError: if torch.optim has no such class.
        """
        known = (*RULES, "Adafactor", "LBFGS")
        chosen = {each.lower(): each for each in known}.get(name.lower())
        if chosen is None:
            raise UsageError(f"optimizer {name!r} is unknown: choose one of {', '.join(known)}")
        updated = tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in tensors)
        return cls(chosen, "torch.optim", (ParameterGroup(options, updated),))


@dataclass(frozen=True, slots=True)
class StateRule:
    """What an optimizer keeps for each parameter.

    Attributes:
        like_parameter: how many tensors of the parameter's shape and dtype.
        scalars: how many 0-dimensional tensors.
        on_device: whether those lie beside the parameter; otherwise they lie on the host.
        keeps_idle: whether parameters without a gradient have state too.
    """

    like_parameter: Callable[[Options], int]
    scalars: int = 1
    on_device: Callable[[Options], bool] = lambda options: bool(options.get("capturable"))
    keeps_idle: bool = False


def _two(_options: Options) -> int:
    return 2


def _adam(options: Options) -> int:
    return 2 + bool(options.get("amsgrad"))


def _rmsprop(options: Options) -> int:
    return 1 + bool(options.get("momentum")) + bool(options.get("centered"))


def _fused(options: Options) -> bool:
    return bool(options.get("fused") or options.get("capturable"))


RULES: Final = {
    "SGD": StateRule(lambda options: int(bool(options.get("momentum"))), scalars=0),
    "Adam": StateRule(_adam, on_device=_fused),
    "AdamW": StateRule(_adam, on_device=_fused),
    "NAdam": StateRule(_two, scalars=2),
    "RAdam": StateRule(_two),
    "Adamax": StateRule(_two),
    "Adadelta": StateRule(_two),
    "Adagrad": StateRule(lambda _: 1, on_device=_fused, keeps_idle=True),
    "RMSprop": StateRule(_rmsprop),
    "Rprop": StateRule(_two),
    "ASGD": StateRule(lambda _: 1, scalars=3, on_device=lambda _: True),
    "Muon": StateRule(lambda _: 1, scalars=0),
    "SparseAdam": StateRule(_two, scalars=0),
}


def optimizer_state(optimizer: OptimizerSpec, device: str | None = None) -> Estimate:
    """Bytes of an optimizer's state after its first step, on one device or on all."""
    if not optimizer.module.startswith("torch.optim"):
        return not_estimated(
            f"{optimizer.module}.{optimizer.name} is not an optimizer of PyTorch: "
            "how much it keeps is its own affair"
        )
    if optimizer.name == "LBFGS":
        return _lbfgs(optimizer, device)
    if optimizer.name == "Adafactor":
        return _adafactor(optimizer, device)
    rule = RULES.get(optimizer.name)
    if rule is None:
        return not_estimated(f"no formula for the state of torch.optim's {optimizer.name}")
    return _by_rule(optimizer, rule, device)


def _by_rule(optimizer: OptimizerSpec, rule: StateRule, device: str | None) -> Estimate:
    like_bytes = scalar_bytes = 0
    for group in optimizer.groups:
        copies, beside = rule.like_parameter(group.options), rule.on_device(group.options)
        kept = group.parameters + (group.idle if rule.keeps_idle else ())
        for shape, dtype, place in kept:
            if device in (None, place):
                like_bytes += copies * _nbytes(shape, dtype)
            if device in (None, place if beside else "cpu"):
                scalar_bytes += rule.scalars * SCALAR_BYTES
    return Estimate(
        like_bytes + scalar_bytes,
        f"{optimizer.name}: {_words(optimizer, rule)}",
        ("parameters that got a gradient in the first step have state",),
    )


def _words(optimizer: OptimizerSpec, rule: StateRule) -> str:
    copies = sorted({rule.like_parameter(group.options) for group in optimizer.groups})
    number = " or ".join(str(count) for count in copies) or "0"
    text = f"{number} tensors of each parameter's shape and dtype"
    if not rule.scalars:
        return text
    beside = any(rule.on_device(group.options) for group in optimizer.groups)
    place = "beside it" if beside else "on the host"
    return f"{text}, {rule.scalars} × {SCALAR_BYTES} B of counters {place}"


def _adafactor(optimizer: OptimizerSpec, device: str | None) -> Estimate:
    nbytes = 0
    for group in optimizer.groups:
        for shape, dtype, place in group.parameters:
            if device in (None, place):
                nbytes += _factors(shape) * ITEMSIZE[dtype]
            if device in (None, "cpu"):
                nbytes += SCALAR_BYTES
    return Estimate(
        nbytes,
        "Adafactor: a row and a column of each matrix, the whole of each vector, "
        "4 B of counter on the host",
    )


def _factors(shape: tuple[int, ...]) -> int:
    if len(shape) < 2:
        return math.prod(shape)
    row = math.prod((*shape[:-1], 1))
    column = math.prod((*shape[:-2], 1, shape[-1]))
    return row + column


def _lbfgs(optimizer: OptimizerSpec, device: str | None) -> Estimate:
    group = optimizer.groups[0]
    everything = group.parameters + group.idle
    if not everything or device not in (None, everything[0][2]):
        return Estimate(0, "LBFGS: nothing on this device")
    element = ITEMSIZE[everything[0][1]]
    length = sum(math.prod(shape) for shape, _, _ in everything)
    history = int(group.options.get("history_size", 100))
    vectors, scalars = 2 * history + 2, 2 * history + 1
    return Estimate(
        (vectors * length + scalars) * element,
        f"LBFGS: {history} directions and {history} steps of history, the direction and the last "
        f"gradient: {vectors} × {length:,} elements × {element} B",
        ("the history is full: it grows by one direction and one step in each iteration",),
    )


def total_state(optimizers: Iterable[OptimizerSpec], device: str | None = None) -> Estimate:
    """Bytes of the state of several optimizers."""
    return total((optimizer_state(each, device) for each in optimizers), "no optimizer")


def _group(group: Mapping[str, Any]) -> ParameterGroup:
    rows = group.get("parameters", ())
    return ParameterGroup(
        options=group.get("options", {}),
        parameters=tuple(_tensor(row) for row in rows if row.get("gradient", True)),
        idle=tuple(_tensor(row) for row in rows if not row.get("gradient", True)),
    )


def _tensor(row: Mapping[str, Any]) -> tuple[tuple[int, ...], str, str]:
    shape = tuple(int(size) for size in row["shape"])
    return shape, str(row["dtype"]), str(row.get("device", "cpu"))


def _nbytes(shape: tuple[int, ...], dtype: str) -> int:
    return math.prod(shape) * ITEMSIZE[dtype]
