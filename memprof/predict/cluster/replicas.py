"""`DistributedDataParallel` where nobody answers and no tensor holds values.

Its reducer runs as it is: it makes its buckets and copies gradients into them. What it asks of the
other ranks is answered as if they agreed; its buckets are from the start those that it would make
after the first backward, in the order in which gradients become ready.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import distributed as data_parallel

from memprof.record.patches import Patches

Limits = tuple[list[int], list[int]]
_c10d: Any = torch.distributed  # its classes of C++ are not exported


def stand_in_for_answers(patches: Patches) -> None:
    """Lets programs replicate their models; undoing `patches` ends it."""
    parallel = data_parallel.DistributedDataParallel
    patches.replace(data_parallel, "_verify_param_shape_across_processes", _agreed)
    patches.replace(_c10d.Reducer, "_rebuild_buckets", lambda _: lambda reducer: False)
    patches.replace(_c10d.Logger, "set_runtime_stats_and_log", _agreed)  # needs a GPU's clock
    patches.replace(_c10d, "_compute_bucket_assignment_by_size", _as_ready)
    sizes = data_parallel._BucketCapacityConfig
    patches.replace(sizes, "compute_bucket_size_limits", lambda _: _limits)
    patches.replace(parallel, "__init__", _reduced_at_once)
    patches.replace(parallel, "register_comm_hook", _agreed)


def replicate(model: nn.Module) -> None:
    """Makes a model, moved to the GPU already, one of many replicas, wherever it is called."""
    if isinstance(model, data_parallel.DistributedDataParallel):
        return
    if not any(parameter.requires_grad for parameter in model.parameters()):
        return
    replica: Any = data_parallel.DistributedDataParallel(model)
    model.register_forward_pre_hook(
        lambda _, args, kwargs: replica._pre_forward(*args, **kwargs), with_kwargs=True
    )
    model.register_forward_hook(lambda _, args, output: replica._post_forward(output))


def _agreed(_: Callable[..., Any]) -> Callable[..., None]:
    def answered(*args: Any, **kwargs: Any) -> None:
        return None

    return answered


def _limits(config: Any, static_graph: bool, find_unused_parameters: bool) -> Limits:
    """The limits of the buckets that the reducer would make anew."""
    if config.has_custom_per_bucket_caps:
        return list(config.per_bucket_bytes_caps), []
    return [config.first_bucket_bytes_cap, config.bucket_bytes_cap], []


def _as_ready(assign: Callable[..., Any]) -> Callable[..., Any]:
    def assigned(
        tensors: Sequence[torch.Tensor], limits: list[int], sparse: Sequence[bool] = ()
    ) -> Any:
        """Assigns from the last parameter on; the caller turns the order of the buckets round."""
        order = list(reversed(range(len(tensors))))
        buckets, sizes = assign(tensors[::-1], limits, list(sparse)[::-1], order)
        return buckets[::-1], sizes[::-1]

    return assigned


def _reduced_at_once(make: Callable[..., None]) -> Callable[..., None]:
    def __init__(replica: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        make(replica, *args, **kwargs)
        _c10d._register_comm_hook(replica.reducer, None, _reduced)

    return __init__


def _reduced(state: object, bucket: Any) -> Any:
    """A bucket is what it was: a fake process group has no result to take its place."""
    done: Any = torch.futures.Future()
    done.set_result(bucket.buffer())
    return done
