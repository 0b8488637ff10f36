"""What `PYTORCH_CUDA_ALLOC_CONF` may say of the allocator's behaviour."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Final

from memprof.errors import UsageError

MIB: Final = 1 << 20

#: `roundup_power2_divisions` has one value for each power of two from 1 MiB up to 32 GiB.
INTERVALS: Final = 16
LEAST_LARGE_SEGMENT_MIB: Final = 11

#: Settings of PyTorch that change neither sizes nor addresses of device memory.
_WITHOUT_EFFECT: Final = frozenset(
    {
        "graph_capture_record_stream_reuse",
        "pinned_free_catch_all",
        "pinned_max_cached_size_mb",
        "pinned_max_round_threshold_mb",
        "pinned_num_register_threads",
        "pinned_reserve_segment_size_mb",
        "pinned_use_background_threads",
        "pinned_use_cuda_host_register",
        "pinned_use_hip_host_register",
        "release_lock_on_cudamalloc",
        "release_lock_on_hipmalloc",
        "throw_on_cudamalloc_oom",
    }
)


@dataclass(frozen=True, slots=True)
class AllocatorSettings:
    """The settings of PyTorch's native CUDA caching allocator, by PyTorch's own defaults.

    Attributes:
        expandable_segments: grow one segment by mapping pages instead of allocating many.
        max_split_bytes: blocks of at least this size are never split; None splits all.
        max_non_split_rounding_bytes: a block that may not be split serves requests smaller than
            itself by less than this.
        roundup_power2_divisions: by interval, into how many steps a power of two is divided when
            a request is rounded up; 0 or 1 rounds to 512 B.
        garbage_collection_threshold: share of the allowed memory above which unused segments are
            given back before a new one is asked for; 0 never. PyTorch collects only where a
            memory fraction is set.
        large_segment_bytes: segment for requests between 1 and 10 MiB, and page of large
            expandable segments.
        memory_fraction: share of the device that this process may reserve; None all of it.
    """

    expandable_segments: bool = False
    max_split_bytes: int | None = None
    max_non_split_rounding_bytes: int = 20 * MIB
    roundup_power2_divisions: tuple[int, ...] = (0,) * INTERVALS
    garbage_collection_threshold: float = 0.0
    large_segment_bytes: int = 20 * MIB
    memory_fraction: float | None = None

    def __str__(self) -> str:
        """Writes them as PyTorch reads them; "" where all are the defaults."""
        return ",".join(_written(self))


def parse_settings(text: str) -> AllocatorSettings:
    """Reads settings as `PYTORCH_CUDA_ALLOC_CONF` holds them.

    Args:
        text: such as ``expandable_segments:True,max_split_size_mb:128``.

    Raises:
        UsageError: for a name or a value that PyTorch refuses, and for another backend.
    """
    settings = AllocatorSettings()
    pairs = [pair for pair in _pairs("".join(text.split())) if pair[0] not in _WITHOUT_EFFECT]
    # PyTorch holds other sizes against that of large segments, wherever it stands.
    for name, value in sorted(pairs, key=lambda pair: pair[0] != "large_segment_size_mb"):
        if name not in _READERS:
            raise UsageError(f"PyTorch has no allocator setting {name!r}{_close(name)}")
        settings = replace(settings, **_READERS[name](name, value))
        _check_sizes(name, value, settings)
    return settings


def _check_sizes(name: str, value: str, settings: AllocatorSettings) -> None:
    least = settings.large_segment_bytes
    split, rounding = settings.max_split_bytes, settings.max_non_split_rounding_bytes
    if name == "max_split_size_mb" and split is not None and split < least:
        raise _refuse(name, value, f"at least {least // MIB}, the MiB of a large segment")
    if name == "max_non_split_rounding_mb" and rounding < least:
        raise _refuse(name, value, f"at least {least // MIB}, the MiB of a large segment")


def recorded_settings(recorded: Mapping[str, Any]) -> AllocatorSettings:
    """Reads the `allocator_settings` of a memory snapshot.

    Raises:
        UsageError: if they say what PyTorch refuses.
    """
    settings = parse_settings(str(recorded.get("PYTORCH_CUDA_ALLOC_CONF") or ""))
    max_split = recorded.get("max_split_size", -1)
    divisions = recorded.get("roundup_power2_divisions")
    return replace(
        settings,
        expandable_segments=bool(recorded.get("expandable_segments")),
        max_split_bytes=max_split if isinstance(max_split, int) and max_split > 0 else None,
        garbage_collection_threshold=float(recorded.get("garbage_collection_threshold") or 0.0),
        roundup_power2_divisions=_recorded_divisions(divisions)
        or settings.roundup_power2_divisions,
    )


def _recorded_divisions(recorded: Any) -> tuple[int, ...] | None:
    if not isinstance(recorded, Mapping) or len(recorded) != INTERVALS:
        return None
    return tuple(int(value) for _, value in sorted(recorded.items(), key=lambda pair: int(pair[0])))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Splits ``a:1,b:[2:3,>:4]`` at the commas outside brackets."""
    depth, begin = 0, 0
    for place, letter in enumerate(f"{text},"):
        depth += (letter == "[") - (letter == "]")
        if letter == "," and depth == 0:
            if text[begin:place]:
                name, colon, value = text[begin:place].partition(":")
                if not colon or not value:
                    raise UsageError(
                        f"allocator setting {name!r} has no value: write it like name:value"
                    )
                yield name, value
            begin = place + 1
    if depth:
        raise UsageError(f"allocator settings {text!r} have a bracket without its other half")


def _close(name: str) -> str:
    close = get_close_matches(name, _READERS, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _refuse(name: str, value: str, expected: str) -> UsageError:
    return UsageError(f"allocator setting {name}:{value} must be {expected}")


def _truth(name: str, value: str) -> dict[str, Any]:
    if value not in ("True", "False"):
        raise _refuse(name, value, "True or False")
    return {name: value == "True"}


def _mebibytes(field: str, least: int) -> Callable[[str, str], dict[str, Any]]:
    def read(name: str, value: str) -> dict[str, Any]:
        if not value.isdecimal() or int(value) < least:
            raise _refuse(name, value, f"a whole number of MiB, at least {least}")
        return {field: int(value) * MIB}

    return read


def _share(field: str, *, with_one: bool) -> Callable[[str, str], dict[str, Any]]:
    def read(name: str, value: str) -> dict[str, Any]:
        try:
            share = float(value)
        except ValueError:
            share = -1.0
        if not (0.0 < share < 1.0 or (with_one and share in (0.0, 1.0))):
            raise _refuse(name, value, "a number between 0 and 1")
        return {field: share}

    return read


def _backend(name: str, value: str) -> dict[str, Any]:
    if value != "native":
        raise _refuse(name, value, "native: no other backend is modelled")
    return {}


def _divisions(name: str, value: str) -> dict[str, Any]:
    """Reads ``8`` for every interval, or ``[256:1,512:2,>:8]`` by size in MiB."""
    if not value.startswith("["):
        return {name: (_power_of_two(name, value, value),) * INTERVALS}
    found = [0] * INTERVALS
    last = -1
    for part in value.strip("[]").split(","):
        bound, _, divisions = part.partition(":")
        if divisions != "0":
            _power_of_two(name, value, divisions)
        begin = last + 1
        if bound == ">":
            last = INTERVALS - 1
        else:
            last = min(_power_of_two(name, value, bound).bit_length() - 1, INTERVALS - 1)
            begin = last if begin else 0
        found[begin : last + 1] = [int(divisions)] * (last + 1 - begin)
    return {name: tuple(found)}


def _power_of_two(name: str, value: str, number: str) -> int:
    if not number.isdecimal() or int(number).bit_count() != 1:
        raise _refuse(name, value, "powers of two, as in 8 or [256:1,512:2,>:8]")
    return int(number)


_READERS: Final[Mapping[str, Callable[[str, str], dict[str, Any]]]] = {
    "backend": _backend,
    "expandable_segments": _truth,
    "garbage_collection_threshold": _share("garbage_collection_threshold", with_one=False),
    "large_segment_size_mb": _mebibytes("large_segment_bytes", LEAST_LARGE_SEGMENT_MIB),
    "max_non_split_rounding_mb": _mebibytes("max_non_split_rounding_bytes", 1),
    "max_split_size_mb": _mebibytes("max_split_bytes", 1),
    "per_process_memory_fraction": _share("memory_fraction", with_one=True),
    "roundup_power2_divisions": _divisions,
}


def _written(settings: AllocatorSettings) -> Iterator[str]:
    plain = AllocatorSettings()
    if settings.expandable_segments:
        yield "expandable_segments:True"
    if settings.max_split_bytes is not None:
        yield f"max_split_size_mb:{settings.max_split_bytes // MIB}"
    if settings.max_non_split_rounding_bytes != plain.max_non_split_rounding_bytes:
        yield f"max_non_split_rounding_mb:{settings.max_non_split_rounding_bytes // MIB}"
    if settings.roundup_power2_divisions != plain.roundup_power2_divisions:
        yield f"roundup_power2_divisions:{_written_divisions(settings.roundup_power2_divisions)}"
    if settings.garbage_collection_threshold:
        yield f"garbage_collection_threshold:{settings.garbage_collection_threshold:g}"
    if settings.large_segment_bytes != plain.large_segment_bytes:
        yield f"large_segment_size_mb:{settings.large_segment_bytes // MIB}"
    if settings.memory_fraction is not None:
        yield f"per_process_memory_fraction:{settings.memory_fraction:g}"


def _written_divisions(divisions: tuple[int, ...]) -> str:
    if len(set(divisions)) == 1:
        return str(divisions[0])
    return "[" + ",".join(f"{1 << power}:{value}" for power, value in enumerate(divisions)) + "]"
