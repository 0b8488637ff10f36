"""What a run needs, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from memprof.cli.render.parts import (
    UNKNOWN,
    bar,
    category,
    heading,
    headline,
    indented,
    next_command,
    size,
)
from memprof.cli.render.table import Column, Table
from memprof.units import format_gigabytes

Data = Mapping[str, Any]
_WORDS = {True: "yes", False: "no", None: "open"}


def estimate_text(
    document: Data, *, source: str, explain: bool = False, quiet: bool = False
) -> Iterator[RenderableType]:
    """Renders what `estimate_document` says."""
    yield _headline(document)
    for device in document["devices"] if len(document["devices"]) > 1 else [document]:
        yield from _peak(device)
        yield _categories(device)
        yield from _open(device)
    if len(document["peaks"]) > 1:
        yield heading("Moments that can be the highest\n")
        yield _moments(document)
    if document["kv_cache_bytes_per_token"] and document["run"]["mode"] != "train":
        yield Text(
            f"\nOne more token of one sequence: {_both(document['kv_cache_bytes_per_token'])}"
        )
    yield heading("Machines, and the least time they can take\n")
    yield _machines(document)
    yield from _answers(document)
    if "largest" in document:
        yield from _largest(document["largest"])
    if explain:
        yield from _formulas(document)
    yield from _assumptions(document)
    if not quiet:
        yield next_command(f"memprof estimate {source} --explain")


def sweep_text(rows: Sequence[Data], name: str) -> Iterator[RenderableType]:
    """One line for each value of an option."""
    machines = list(rows[0]["fits"])
    shown = machines if len(machines) <= 3 else machines[:3]
    columns = (
        Column(name, "number"),
        *(Column(title, "number") for title in ("peak", "GB", "weights", "cache or activations")),
        *(Column(machine) for machine in shown),
    )
    yield Table(columns, [_sweep_row(row, name, shown) for row in rows])


def _sweep_row(row: Data, name: str, machines: Sequence[str]) -> list[str]:
    held = row["by_category"]
    varying = held["kv_cache"] if row["run"]["mode"] != "train" else held["activations"]
    return [
        str(row[name]),
        size(row["peak_bytes"]),
        _gb(row["peak_bytes"]),
        size(held["weights"]),
        size(varying),
        *(_WORDS[row["fits"][machine]] for machine in machines),
    ]


def _headline(document: Data) -> Text:
    run, active = document["run"], document["active_parameters"]
    parameters = document["parameters"]
    devices = run["devices"]
    return headline(
        (
            document["model"]["name"],
            f"{parameters:,} parameters" if parameters else "",
            f"{active:,} active" if active and active != parameters else "",
            f"{run['mode']}, batch {run['batch']} × {_tokens(run)}",
            f"{devices} devices" if devices > 1 else "",
        )
    )


def _tokens(run: Data) -> str:
    if run["mode"] == "decode":
        return f"1 token after {run.get('context', 0):,}"
    return f"{run['tokens']:,} tokens"


def _peak(device: Data) -> Iterator[Text]:
    known = device["peak_bytes"]
    text = _both(known) if known is not None else f"at least {_both(device['known_bytes'])}"
    yield Text.assemble(
        "\n", ("Peak ", "bold"), (text, "bold"), f" · {device['peak']} · {device['name']}\n"
    )


def _categories(device: Data) -> Table:
    whole = device["known_bytes"] or 1
    parts = device["peaks_by_category"][device["peak"]]
    rows = [
        (
            category(name),
            size(part["bytes"]),
            _gb(part["bytes"]),
            bar((part["bytes"] or 0) / whole, name, 16),
            part["formula"],
        )
        for name, part in parts.items()
        if part["bytes"] != 0 or part["assumptions"]
    ]
    titles = (Column("category"), Column("bytes", "number"), Column("in GB", "number"))
    return Table((*titles, Column("share"), Column("formula", "wrap")), rows)


def _open(device: Data) -> Iterator[RenderableType]:
    """Categories that no formula knows, though they may have no part in the moment shown."""
    shown = device["peaks_by_category"][device["peak"]]
    for name, part in device["highest_by_category"].items():
        if part["bytes"] is None and shown.get(name, part)["bytes"] is not None:
            yield indented(Text.assemble(category(name), f": {part['formula']}"))


def _moments(document: Data) -> Table:
    columns = (Column("moment"), Column("bytes", "number"), Column("GB", "number"), Column(""))
    highest = document["peak"] if document["peak_bytes"] is not None else ""
    rows = [
        (name, size(nbytes), _gb(nbytes), "the highest" if name == highest else "")
        for name, nbytes in document["peaks"].items()
    ]
    return Table(columns, rows)


def _machines(document: Data) -> Table:
    columns = (
        Column("machine"),
        Column("holds", "number"),
        Column("fits"),
        Column("s/call", "number"),
        Column("tokens/s", "number"),
        Column("bound by"),
        Column("FLOP/B", "number"),
        Column("ridge", "number"),
    )
    return Table(columns, [_machine(key, row) for key, row in document["machines"].items()])


def _machine(key: str, row: Data) -> list[str]:
    line = row["roofline"]
    name = f"{key} (projection)" if row["projection"] else key
    start = [name, size(row["usable_bytes"] or row["capacity_bytes"]), _WORDS[row["fits"]]]
    if line is None:
        return [*start, *[UNKNOWN] * 5]
    return [
        *start,
        f"{line['seconds']:.4g}",
        f"{line['tokens_per_second']:,.4g}",
        line["bound"],
        f"{line['intensity']:,.1f}",
        UNKNOWN if line["ridge"] is None else f"{line['ridge']:,.0f}",
    ]


def _answers(document: Data) -> Iterator[RenderableType]:
    if "experts" in document:
        told = document["experts"]
        yield heading("Experts")
        yield indented(
            f"{_both(told['resident_bytes'])} resident; a call reads {told['touched']:.1f} of "
            f"{told['number']} experts of a layer, {_both(told['moved_bytes'])} of weights in all"
        )
    if "serving" in document:
        yield heading("Serving\n")
        yield _serving(document["serving"])
    if "speculation" in document:
        told = document["speculation"]
        yield heading("Speculation")
        yield indented(
            f"{told['tokens_per_round']:.2f} tokens a round of {_both(told['bytes_per_round'])}: "
            f"{_both(round(told['bytes_per_token']))} a token, {told['gain']:.2f} × fewer than "
            f"alone; {_both(told['resident_bytes'])} resident"
        )
    if "offload" in document:
        yield heading("Weights on the host")
        yield indented(_offloaded(document["offload"]))


def _serving(told: Data) -> Table:
    columns = (Column(""), Column("slots", "number"), Column("bytes", "number"), Column(""))
    caches = [
        (name, f"{row['reserved']:,}", size(row["bytes"]), f"{row['waste']:.1%} without a token")
        for name, row in told.items()
        if "waste" in row
    ]
    ways = [
        (
            name,
            f"{row['peak_tokens']:,}",
            "",
            f"{row['steps']:,} calls, {row['utilisation']:.1%} used",
        )
        for name, row in told.items()
        if "steps" in row
    ]
    return Table(columns, [*caches, *ways])


def _offloaded(told: Data) -> str:
    times = told["seconds_per_call"] or {}
    text = f"{_both(told['host_bytes'])} on the host, fetched in every call"
    slow = ", ".join(f"{seconds:.3g} s on {key}" for key, seconds in times.items())
    return f"{text}: at least {slow}" if slow else text


def _largest(told: Data) -> Iterator[RenderableType]:
    yield heading(f"The largest {told['what']} that fits\n")
    rows = [(key, _number(found)) for key, found in told["by_machine"].items()]
    yield Table((Column("machine"), Column(told["what"], "number")), rows)


def _number(found: int | str | None) -> str:
    return f"{found:,}" if isinstance(found, int) else found or UNKNOWN


def _formulas(document: Data) -> Iterator[RenderableType]:
    yield heading("Formulas, each category at its own highest\n")
    rows = [
        (category(name), size(part["bytes"]), _plain(part["bytes"]), part["formula"])
        for name, part in document["highest_by_category"].items()
    ]
    titles = (Column("category"), Column("", "number"), Column("bytes", "number"))
    yield Table((*titles, Column("formula", "wrap")), rows)
    yield heading("Seconds of a call\n")
    lines = {key: row["roofline"] for key, row in document["machines"].items() if row["roofline"]}
    times = [(key, f"{line['seconds']:.4g}", line["formula"]) for key, line in lines.items()]
    yield Table((Column("machine"), Column("s", "number"), Column("formula", "wrap")), times)


def _assumptions(document: Data) -> Iterator[RenderableType]:
    if document["assumptions"]:
        yield heading("Taken for granted")
        yield from (indented(f"· {text}") for text in document["assumptions"])


def _both(nbytes: int) -> str:
    exact = nbytes < 10_000_000
    return f"{size(nbytes)} ({f'{nbytes:,} B' if exact else format_gigabytes(nbytes)})"


def _gb(nbytes: int | None) -> str:
    return UNKNOWN if nbytes is None else format_gigabytes(nbytes)


def _plain(nbytes: int | None) -> str:
    return UNKNOWN if nbytes is None else f"{nbytes:,}"
