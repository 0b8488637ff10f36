"""Fills README.md and pages of docs/ with what their commands print: no figure is typed by hand.

make readme

Every place is delimited by comments that name the command:

    <!-- output of: memprof report demo/train.json -->
    <!-- end of output -->
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "docs/estimates.md")
PLACE = re.compile(
    r"(<!-- output of: (?P<command>[^\n]+) -->\n)(?P<output>.*?)(<!-- end of output -->\n)",
    re.DOTALL,
)


def main() -> int:
    run("python tools/demo.py")
    for page in PAGES:
        path = ROOT / page
        path.write_text(PLACE.sub(filled, path.read_text("utf-8")), "utf-8")
    return 0


def filled(place: re.Match[str]) -> str:
    """A place with the output of its command in it."""
    command = place["command"]
    print(f"$ {command}", file=sys.stderr)
    return f"{place[1]}\n```text\n$ {command}\n{run(command).rstrip()}\n```\n\n{place[4]}"


def run(command: str) -> str:
    """What a command prints, run as somebody in the project's environment would run it."""
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    answer = subprocess.run(
        shlex.split(command),
        cwd=ROOT,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    return answer.stdout


if __name__ == "__main__":
    sys.exit(main())
