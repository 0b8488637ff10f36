"""Trains and generates with a small Llama, and shows what memprof says of both.

python tools/demo.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import webbrowser
from pathlib import Path

from memprof_dashboard.server import wants_browser

ROOT = Path(__file__).parent.parent
FOLDER = Path("demo")
SAMPLES = {"train": "samples/train_llama.py", "generate": "samples/generate_llama.py"}


def main() -> int:
    os.chdir(ROOT)
    FOLDER.mkdir(exist_ok=True)
    memprof = Path(sys.executable).parent / "memprof"
    traces = {name: FOLDER / f"{name}.json" for name in SAMPLES}
    for name, sample in SAMPLES.items():
        say(f"python {sample} --output {traces[name]}")
        subprocess.run([sys.executable, sample, "--output", traces[name], "--force"], check=True)
        say(f"memprof report {traces[name]}")
        subprocess.run([memprof, "report", "--quiet", traces[name]], check=True)
    views = [f"{os.path.relpath(memprof)} view {trace}" for trace in traces.values()]
    print("\nThe same in a browser:", *views, sep="\n  ")
    if can_show_a_browser() and agreed("Open the training run now?"):
        return subprocess.call([memprof, "view", traces["train"]])
    return 0


def say(command: str) -> None:
    print(f"\n$ {command}", flush=True)


def can_show_a_browser() -> bool:
    """Whether somebody sits at this terminal, on the machine where a browser would open."""
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return sys.stdin.isatty() and wants_browser(os.environ)


def agreed(question: str) -> bool:
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


if __name__ == "__main__":
    sys.exit(main())
