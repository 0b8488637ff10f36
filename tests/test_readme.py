"""The README: its outputs come from commands, and what it shows of the interface is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import memprof
from memprof.cli.app import VERBS
from memprof.config import read_config
from tools.readme import PLACE

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PLACES = list(PLACE.finditer(README))
QUANTITY = re.compile(r"\d[\d,.]* ?([KMGT]i?B|ms|%|x)\b")


def test_places_are_whole() -> None:
    assert len(PLACES) == README.count("<!-- output of:") == README.count("<!-- end of output -->")
    assert len(PLACES) >= 4


@pytest.mark.parametrize("place", PLACES, ids=lambda place: str(place["command"]))
def test_every_command_exists(place: re.Match[str]) -> None:
    program, first, *_ = place["command"].split()
    assert program in ("memprof", "python")
    assert first in VERBS if program == "memprof" else (ROOT / first).is_file()
    if place["output"]:
        assert place["output"].startswith(f"\n```text\n$ {place['command']}\n")


def test_no_figure_is_typed_by_hand() -> None:
    typed = re.sub(r"```(python|toml)\n.*?```", "", PLACE.sub("", README), flags=re.DOTALL)
    assert [match[0] for match in QUANTITY.finditer(typed) if match[0] != "0 B"] == []


def test_python_is_python_and_uses_what_there_is() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    used = {
        node.attr
        for block in blocks
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "memprof"
    }
    assert used
    assert used <= set(memprof.__all__)


def test_settings_are_settings(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "pyproject.toml").write_text(block)
    assert read_config(tmp_path).stack_bytes == 64 << 10


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert all((ROOT / link).exists() for link in links)
