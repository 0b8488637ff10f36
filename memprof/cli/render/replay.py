"""A replay as text."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from memprof.cli.render.parts import heading, headline, indented, next_command, plural, size
from memprof.cli.render.table import Column, Table

Data = Mapping[str, Any]
ROWS = 12
SEGMENTS = 10
MAP_WIDTH = 48


def replay_text(document: Data, *, quiet: bool = False) -> Iterator[RenderableType]:
    """Renders the document of `memprof replay`."""
    yield headline(
        (
            Path(document["source"]).name,
            document["device"],
            plural(document["events"], "event"),
            plural(document["allocations"], "allocation"),
            document["settings"] or "default allocator settings",
        )
    )
    others = [name for name in document["devices"] if name != document["device"]]
    if others:
        yield Text(f"{', '.join(others)} with --device", "dim")
    yield from _exactness(document)
    if not document["complete"]:
        yield Text("The trace ends early: what the program did after that is not in it.")
    yield from _levels(document)
    yield from _over_time(document)
    yield from _segments(document)
    yield from _failure(document)
    yield from _what_if(document)
    if not quiet:
        yield next_command(_next(document))


def _exactness(document: Data) -> Iterator[RenderableType]:
    if document["exact"] is None:
        yield Text(
            "\nAs PyTorch's CUDA allocator would place it, all on one stream; the trace has no "
            "addresses to compare with."
        )
        if document["measured_reserved_peak"] is not None:
            measured = size(document["measured_reserved_peak"])
            yield Text(f"PyTorch itself said that it had reserved {measured} at most.")
    elif document["exact"] and not document["events"]:
        yield Text("\nNo events, only a state; it is one that the allocator's rules lead to.")
    elif document["exact"]:
        yield Text.assemble(
            "\n",
            ("Replayed exactly", "bold green"),
            ": every address, segment and level, and the final blocks, are those recorded.",
        )
    else:
        count = plural(document["mismatches"], "difference")
        yield Text.assemble("\n", (f"Not exact: {count}", "bold red"), ", the first of them:")
        for told in document["told"][:5]:
            recorded, replayed = told["recorded"], told["replayed"]
            yield indented(f"event {told['event']:,}: recorded {recorded}, replayed {replayed}")


def _levels(document: Data) -> Iterator[RenderableType]:
    end = document["end"]
    yield heading("Levels")
    rows = [
        (name, size(document[f"{name}_peak"]), size(end[name]))
        for name in ("requested", "allocated", "reserved", "fragmented")
    ]
    yield Table((Column(""), Column("at most", "number"), Column("at the end", "number")), rows)
    yield indented(
        "fragmented: reserved, unused, and tied to a segment in which something is in use; "
        f"{end['fragmentation']:.1%} of what is reserved at the end"
    )


def _over_time(document: Data) -> Iterator[RenderableType]:
    series = document["series"]
    count = len(series["request"])
    if count < 2:
        return
    places = sorted({round(row * (count - 1) / (ROWS - 1)) for row in range(ROWS)})
    yield heading("Over time")
    columns = (
        Column("request", "number"),
        Column("time", "number"),
        Column("allocated", "number"),
        Column("reserved", "number"),
        Column("fragmented", "number"),
        Column("", "number"),
    )
    yield Table(columns, [_moment(series, place) for place in places])


def _moment(series: Data, place: int) -> tuple[str, ...]:
    times = series["time_ns"]
    seconds = f"{(times[place] - times[0]) / 1e9:.3f} s" if times and times[-1] else ""
    return (
        f"{series['request'][place]:,}",
        seconds,
        size(series["allocated"][place]),
        size(series["reserved"][place]),
        size(series["fragmented"][place]),
        f"{series['fragmentation'][place]:.1%}",
    )


def _segments(document: Data) -> Iterator[RenderableType]:
    segments = document["segments"]
    if not segments:
        return
    yield heading("Segments at the end")
    unused = [one["bytes"] for one in segments if one["used_bytes"] == 0]
    parts = [one for one in segments if 0 < one["used_bytes"] < one["bytes"]]
    full = len(segments) - len(unused) - len(parts)
    yield indented(
        f"{plural(len(segments), 'segment')}: {full:,} full, {len(parts):,} used in part, "
        f"{len(unused):,} not at all ({size(sum(unused))} that empty_cache would give back)"
    )
    if parts:
        yield from _most_fragmented(parts)


def _most_fragmented(parts: list[Data]) -> Iterator[RenderableType]:
    most = sorted(parts, key=lambda one: one["used_bytes"] - one["bytes"])[:SEGMENTS]
    columns = (
        Column("address"),
        Column("size", "number"),
        Column("used", "number"),
        Column("pool"),
        Column("most unused: █ used  ░ unused"),
    )
    yield Table(columns, [_segment(segment) for segment in most])


def _segment(segment: Data) -> tuple[str, ...]:
    kind = f"{segment['pool']}{', expandable' if segment['expandable'] else ''}"
    where, used = f"{segment['address']:#x}", size(segment["used_bytes"])
    return where, size(segment["bytes"]), used, kind, _map(segment)


def _map(segment: Data) -> str:
    """The segment from end to end; a place is used if most of it is."""
    used = [0.0] * MAP_WIDTH
    scale = MAP_WIDTH / segment["bytes"]
    for block in segment["blocks"]:
        if block["state"] != "inactive":
            begin = (block["address"] - segment["address"]) * scale
            end = begin + block["bytes"] * scale
            for place in range(int(begin), min(int(end) + 1, MAP_WIDTH)):
                used[place] += min(end, place + 1) - max(begin, place)
    return "".join("█" if share >= 0.5 else "░" for share in used)


def _failure(document: Data) -> Iterator[RenderableType]:
    failure = document["out_of_memory"]
    if failure is not None:
        yield heading("Out of memory, as it was recorded")
        yield indented(_failed(failure, document["series"]))


def _failed(failure: Data, series: Data) -> str:
    times = series["time_ns"]
    known = times and failure["time_ns"]
    when = f" at {(failure['time_ns'] - times[0]) / 1e9:.3f} s" if known else ""
    where = (
        f"request {failure['request']:,}{when}" if failure["request"] >= 0 else "at the beginning"
    )
    text = (
        f"{where}: {size(failure['requested'])} asked for a segment of {size(failure['segment'])} "
        f"with {size(failure['reserved'])} reserved, {size(failure['allocated'])} of them in use"
    )
    if failure["capacity"] is not None:
        text += f", of {size(failure['capacity'])}"
    if failure["fragmentation"]:
        text += "; it would have fitted had the unused memory been in one piece"
    return text


def _what_if(document: Data) -> Iterator[RenderableType]:
    if not document["what_if"]:
        return
    yield heading("What if")
    columns = (
        Column("settings", "wrap"),
        Column("capacity", "number"),
        Column("reserved at most", "number"),
        Column("fragmented at most", "number"),
        Column("", "wrap"),
    )
    yield Table(columns, [_scenario(scenario) for scenario in document["what_if"]])
    for scenario in document["what_if"]:
        if scenario["out_of_memory"] is not None:
            yield indented(
                f"{_named(scenario)}: {_failed(scenario['out_of_memory'], document['series'])}"
            )
    anew = max(scenario["laid_out_anew"] for scenario in document["what_if"])
    if anew:
        yield indented(
            f"laid out anew: {plural(anew, 'block')} held when the recording began, whose places "
            "under other settings nobody knows, are allocated first, by address"
        )


def _scenario(scenario: Data) -> tuple[str, ...]:
    return (
        _named(scenario),
        size(scenario["capacity"]),
        size(scenario["reserved_peak"]),
        size(scenario["fragmented_peak"]),
        scenario["verdict"],
    )


def _named(scenario: Data) -> str:
    settings = scenario["settings"] or "default settings"
    return f"{settings}, laid out anew" if scenario["laid_out_anew"] else settings


def _next(document: Data) -> str:
    source = shlex.quote(document["source"])
    if not document["what_if"]:
        return f"memprof replay {source} --capacity 24GiB --settings expandable_segments:True"
    return f"memprof replay {source} --json --points 0"
