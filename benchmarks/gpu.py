"""Puts memprof to the test on a card, and writes all that was found as one JSON file.

    python benchmarks/gpu.py                 # on a machine with a card: at most ten minutes
    python benchmarks/gpu.py --dry-run       # on the CPU: all of it small, no figure means a thing

Needs PyTorch and numpy; no network, no transformers, no Dash. Every part runs in a process of its
own, so that a part that fails, or takes too long, costs only its own figures.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import torch  # noqa: E402
from card import check, claims, cost, formulas  # noqa: E402
from card.device import Card, Rehearsal, machine  # noqa: E402
from card.programs import PROGRAMS  # noqa: E402
from card.sizes import CARD, REHEARSAL  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
PARTS = ("claims", "cost", "formulas", *PROGRAMS)
#: For everything, of which the tests are left theirs whatever the parts before them took.
SECONDS, TESTS_SECONDS, PART_SECONDS = 590, 150, 150
LIMIT_UNATTRIBUTED, LIMIT_OPEN, LIMIT_NATIVE = 0.01, 0.01, 1.03


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, everything small")
    parser.add_argument("--output", type=Path, help="[default: benchmarks/results/<card>.json]")
    parser.add_argument("--part", choices=PARTS, help="this part alone, as JSON on stdout")
    options = parser.parse_args()
    if not options.dry_run and not torch.cuda.is_available():
        parser.error("there is no CUDA device here; --dry-run rehearses on the CPU")
    if options.part:
        print(json.dumps(part(options.part, options.dry_run)))
        return 0
    document = everything(options.dry_run)
    output = options.output or default_output(document)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(document, indent=1) + "\n")
    print_summary(document, output)
    if document["tests"].get("rc") not in (None, 0):
        return 1
    return 0 if all(limit["holds"] is not False for limit in document["limits"]) else 3


def everything(dry_run: bool) -> dict[str, Any]:
    """All parts, each in a process of its own, and how they stand against the limits."""
    begun = time.monotonic()
    parts: dict[str, Any] = {}
    for name in PARTS:
        left = SECONDS - TESTS_SECONDS - (time.monotonic() - begun)
        parts[name] = _run(name, dry_run, min(left, PART_SECONDS))
        print(f"{name:32} {parts[name]['seconds']:6.1f} s  {parts[name].get('failed', '')}")
    tests = {} if dry_run else _tests(SECONDS - (time.monotonic() - begun))
    return {
        "schema": 1,
        "dry_run": dry_run,
        "machine": machine(dry_run),
        "when": time.strftime("%Y-%m-%d", time.gmtime()),
        "seconds": time.monotonic() - begun,
        "limits": limits(parts) if not dry_run else [],
        "parts": parts,
        "tests": tests,
    }


def _tests(seconds: float) -> dict[str, Any]:
    """Runs tests/gpu; says how it ended and the end of what it printed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/gpu"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    options: Any = {"capture_output": True, "text": True, "cwd": ROOT, "env": environ}
    try:
        done = subprocess.run(command, timeout=seconds, **options)
    except subprocess.TimeoutExpired:
        return {"rc": 124, "output": f"took longer than {seconds:.0f} s"}
    print(done.stdout[-2000:])
    return {"rc": done.returncode, "output": (done.stdout + done.stderr)[-4000:]}


def _run(name: str, dry_run: bool, seconds: float) -> dict[str, Any]:
    begun = time.monotonic()
    if seconds < 5:
        return {"failed": "no time was left", "seconds": 0.0}
    command = [sys.executable, __file__, "--part", name, *(["--dry-run"] if dry_run else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, cwd=ROOT)
        found = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
        result = found or {"failed": done.stderr[-2000:]}
    except subprocess.TimeoutExpired:
        result = {"failed": f"took longer than {seconds:.0f} s"}
    except (ValueError, IndexError) as error:
        result = {"failed": f"printed no JSON: {error}"}
    return {**result, "seconds": time.monotonic() - begun}


def part(name: str, dry_run: bool) -> dict[str, Any]:
    """One part's findings."""
    torch.manual_seed(0)
    sizes, card = (REHEARSAL, Rehearsal()) if dry_run else (CARD, Card())
    if name == "claims":
        return claims.put_to_the_test(card)
    if name == "cost":
        return cost.measured(sizes, card)
    if name in PROGRAMS:
        return check.checked(PROGRAMS[name], sizes, card)
    found = {}
    for formula, measure in formulas.FORMULAS.items():
        found[formula] = measure(sizes, card)
        gc.collect()
        card.forget()
    return found


def limits(parts: dict[str, Any]) -> list[dict[str, Any]]:
    """What was promised of a card, and whether it holds; None where it was not measured."""
    ratio = parts["cost"].get("ratios", {}).get(cost.NATIVE)
    rows = [("native recorder's step", ratio, LIMIT_NATIVE)]
    for name in PROGRAMS:
        found = parts[name]
        rows.append((f"{name}: unattributed", found.get("unattributed_share"), LIMIT_UNATTRIBUTED))
        rows.append((f"{name}: not explained", found.get("waterfall_open_share"), LIMIT_OPEN))
    return [
        {
            "what": what,
            "found": found,
            "limit": most,
            "holds": None if found is None else found <= most,
        }
        for what, found, most in rows
    ]


def default_output(document: dict[str, Any]) -> Path:
    """A file named after card and PyTorch; a rehearsal is no result and is kept elsewhere."""
    if document["dry_run"]:
        return Path("gpu-dry-run.json")
    told = document["machine"]
    name = f"{told['card']}-torch{told['torch']}".lower()
    return RESULTS / f"{re.sub(r'[^a-z0-9.]+', '-', name)}.json"


def print_summary(document: dict[str, Any], output: Path) -> None:
    for limit in document["limits"]:
        mark = {True: "ok", False: "MISSED", None: "not measured"}[limit["holds"]]
        print(f"{limit['what']:48} {limit['found']!s:>12}  at most {limit['limit']}  {mark}")
    for answer in document["parts"]["claims"].values():
        if isinstance(answer, dict) and answer["verdict"] == claims.CORRECTED:
            print(f"does not hold: {answer['claim']}")
    kind = "rehearsed on the CPU, nothing measured" if document["dry_run"] else "measured"
    print(f"{kind}: {output}")


if __name__ == "__main__":
    sys.exit(main())
