"""Runs the tests of samples/ci many times over, and says whether they ever differ.

python benchmarks/pytest_repeats.py 50
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

SAMPLE = Path(__file__).parent.parent / "samples" / "ci"
_REPEAT = re.compile(r"-?turn[0-9]+")


class Repeats:
    """Makes `count` tests of each, and runs the suite turn by turn."""

    def __init__(self, count: int) -> None:
        self._turns = range(count)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        metafunc.fixturenames.append("turn")
        metafunc.parametrize("turn", self._turns, ids=lambda turn: f"turn{turn}")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: item.callspec.params["turn"])  # type: ignore[attr-defined]


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    folder = Path(tempfile.mkdtemp()) / "ci"
    shutil.copytree(SAMPLE, folder)
    os.chdir(folder)
    (folder / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n')
    arguments = ["-q", "-p", "no:dash", "--memprof-json", "memory.json"]
    code = pytest.main(arguments, plugins=[Repeats(count)])
    document = json.loads(Path("memory.json").read_text())
    seen: dict[str, set[str]] = defaultdict(set)
    runs: dict[str, int] = defaultdict(int)
    peaks: dict[str, int] = {}
    for result in document["tests"]:
        name = _REPEAT.sub("", result["test"]).replace("[]", "")
        seen[name].add(json.dumps(told(result), sort_keys=True))
        runs[name] += 1
        peaks[name] = max(
            (device["peak_bytes"] for device in result["devices"].values()), default=0
        )
    print(f"{'runs':>5} {'different':>9} {'peak bytes':>12}  test")
    for name, variants in sorted(seen.items()):
        print(f"{runs[name]:>5} {len(variants):>9} {peaks[name]:>12,}  {name}")
    return int(code) or int(any(len(variants) > 1 for variants in seen.values()))


def told(result: dict[str, Any]) -> dict[str, Any]:
    """All that must be the same in every turn."""
    return {key: result[key] for key in ("devices", "verdicts", "outcome", "exceeded", "notes")}


if __name__ == "__main__":
    sys.exit(main())
