"""Runs every script of the lab, one after the other, and writes what they found.

make lab
python -m tools.lab kv_cache offload   # these alone, beside what is known of the others

samples/results.json holds the tables as data, samples/RESULTS.md as text. `python -m tools.article`
then cites them in docs/article.md.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from samples.lab.table import COLUMNS, Result, Row

ROOT = Path(__file__).parent.parent
DATA, TEXT = ROOT / "samples" / "results.json", ROOT / "samples" / "RESULTS.md"
#: In the order of the article.
SCRIPTS = (
    "weights",
    "kv_cache",
    "activations",
    "training",
    "attention",
    "roofline",
    "quantised_weights",
    "paged_cache",
    "batching",
    "speculation",
    "experts",
    "hierarchy",
    "offload",
    "tensor_parallel",
    "recurrent",
)


def main() -> int:
    chosen = sys.argv[1:] or SCRIPTS
    if unknown := set(chosen) - set(SCRIPTS):
        named, there = ", ".join(sorted(unknown)), ", ".join(SCRIPTS)
        print(f"{named}: no script of the lab; there are {there}", file=sys.stderr)
        return 2
    found = known()
    for script in chosen:
        found[script] = run(script)
        save(found)
    tables = {script: read(result) for script, result in found.items()}
    wrong = [row.claim for result in tables.values() for row in result.rows if not row.holds]
    for claim in wrong:
        print(f"does not hold: {claim}", file=sys.stderr)
    return 1 if wrong else 0


def known() -> dict[str, Any]:
    """What earlier runs have found, by script."""
    if not DATA.exists():
        return {}
    found: dict[str, Any] = json.loads(DATA.read_text("utf-8"))["results"]
    return found


def save(found: Mapping[str, Any]) -> None:
    """Writes both files, scripts in the order of the article."""
    results = {script: found[script] for script in SCRIPTS if script in found}
    text = json.dumps({"results": results}, indent=1, ensure_ascii=False)
    DATA.write_text(text + "\n", "utf-8")
    tables = {script: read(result) for script, result in results.items()}
    TEXT.write_text(document(tables, machine()), "utf-8")


def run(script: str) -> dict[str, Any]:
    """What one script found, run in a process of its own."""
    begun, file = time.monotonic(), ROOT / "samples" / f".{script}.json"
    command = [sys.executable, "-m", f"samples.lab.{script}", "--json", str(file)]
    try:
        ended = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        if ended.returncode:
            sys.exit(f"{ended.stderr}\n{script} ended with {ended.returncode}")
        found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    finally:
        file.unlink(missing_ok=True)
    print(f"{script}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    return found


def read(result: Mapping[str, Any]) -> Result:
    return Result(result["title"], [Row(**row) for row in result["rows"]], result["notes"])


def machine() -> str:
    """What was measured with; no name of a machine."""
    what = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return f"{what}, torch {torch.__version__}"


def document(results: Mapping[str, Result], machine: str) -> str:
    """All tables as Markdown."""
    parts = [HEAD.format(machine=machine)]
    parts += [section(script, result) for script, result in results.items()]
    return "\n".join(parts)


HEAD = """# The lab: every system of the article, run

Made by `make lab`; not to be edited by hand. Measured on {machine}. `computed` marks what
this machine cannot run: the same formulas, at the article's sizes. An error of 0 is an exact match,
to the byte where bytes are counted. What the article does not speak of is `beside it`. Rates and
times say what the machine could do beside its other work; no formula is judged by them.
"""


def section(script: str, result: Result) -> str:
    lines = [f"## {result.title}", "", f"`python -m samples.lab.{script}`", ""]
    lines += [line(COLUMNS), line(["---"] * len(COLUMNS))]
    lines += [line(row.cells()) for row in result.rows]
    lines += ["", *(f"- {note}" for note in result.notes), ""]
    return "\n".join(lines)


def line(cells: tuple[str, ...] | list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
