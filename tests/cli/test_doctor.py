"""What `memprof doctor` says of this machine, and of the same one with something missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from memprof.record.native import build
from tests.cli.terminal import memprof

FAILING = """#!/bin/sh
[ "$1" = --version ] && echo "broken c++ 1.0" && exit
echo "native.cpp:1:1: error: out of order" >&2
exit 1
"""


def compiler(folder: Path, text: str) -> str:
    path = folder / "c++"
    path.write_text(text)
    path.chmod(0o700)
    return str(path)


def checks(folder: Path, code: int, **environment: str) -> dict[str, Any]:
    done = memprof("doctor", "--json", cwd=folder, **environment)
    assert done.returncode == code, done.stderr
    document = json.loads(done.stdout)
    assert document["healthy"] == (code == 0)
    return {check["name"]: check for check in document["checks"]}


def test_with_everything_it_builds_the_observer_and_the_native_recorder_is_used(
    tmp_path: Path,
) -> None:
    cache = tmp_path / "cache"
    done = memprof("doctor", cwd=tmp_path, MEMPROF_CACHE=str(cache))

    (library,) = cache.glob("*.so")
    lines = {line.split()[1]: line for line in done.stdout.splitlines() if line[2] in "✓–✗"}
    assert done.returncode == 0
    assert torch.__version__ in lines["torch"]
    assert "built in" in lines["observer"]
    assert str(library) in "".join(done.stdout.split())
    assert lines["recorder"].split() == ["✓", "recorder", "native"]
    assert "about 10 s" in done.stderr


def test_without_a_compiler_it_says_what_to_install_and_what_records_meanwhile(
    tmp_path: Path,
) -> None:
    found = checks(tmp_path, 1, CXX="no-such-compiler", MEMPROF_CACHE=str(tmp_path / "cache"))

    assert found["compiler"]["state"] == "missing"
    assert "no-such-compiler" in found["compiler"]["text"]
    assert "apt-get install g++" in found["compiler"]["fix"]
    assert found["observer"]["state"] == "broken"
    assert found["recorder"]["text"] == "dispatch"


def test_a_compiler_that_fails_is_quoted(tmp_path: Path) -> None:
    broken = compiler(tmp_path, FAILING)
    found = checks(tmp_path, 1, CXX=broken, MEMPROF_CACHE=str(tmp_path / "cache"))

    assert "broken c++ 1.0" in found["compiler"]["text"]
    assert f"{broken} failed: native.cpp:1:1: error: out of order" in found["observer"]["text"]


def test_what_was_built_before_serves_where_it_cannot_be_built_again(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    built = build.build()
    (cache / built.name).write_bytes(built.read_bytes())

    found = checks(tmp_path, 0, CXX=compiler(tmp_path, FAILING), MEMPROF_CACHE=str(cache))
    assert "built before" in found["observer"]["text"]
    assert "out of order" in found["observer"]["text"]
    assert (cache / built.name).read_bytes() == built.read_bytes()


def test_a_cache_that_is_no_folder_is_named_with_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = checks(tmp_path, 1, MEMPROF_CACHE=str(tmp_path / "file"))

    assert f"{tmp_path}/file cannot be written" in found["observer"]["text"]
    assert "MEMPROF_CACHE" in found["observer"]["text"]


def test_a_recorder_that_is_asked_for_and_cannot_be_had_is_broken(tmp_path: Path) -> None:
    missing = {"CXX": "no-such-compiler", "MEMPROF_CACHE": str(tmp_path / "cache")}

    assert (
        checks(tmp_path, 1, MEMPROF_RECORDER="native", **missing)["recorder"]["state"] == "broken"
    )
    asked = checks(tmp_path, 1, MEMPROF_RECORDER="dispatch", **missing)["recorder"]
    assert asked["state"] == "ok"
    assert asked["text"].startswith("dispatch, as MEMPROF_RECORDER")


def test_without_torch_it_still_answers(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('libtorch is not there')")

    found = checks(tmp_path, 1)
    assert found["torch"]["state"] == "broken"
    assert "libtorch is not there" in found["torch"]["text"]
    assert "observer" not in found
    assert found["dashboard"]["state"] == "ok"


def test_absent_packages_are_named_with_what_installs_them(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDES_DASH)
    found = checks(tmp_path, 0, PYTHONPATH=f"{tmp_path}:{Path(__file__).parents[2]}")

    assert found["dashboard"]["state"] == "missing"
    assert found["dashboard"]["text"] == "without dash memprof view has no pages"
    assert found["dashboard"]["fix"] == "pip install 'torch-memprof[dashboard]'"


HIDES_DASH = """
import importlib.metadata as metadata

version = metadata.version

def hidden(name):
    if name == "dash":
        raise metadata.PackageNotFoundError(name)
    return version(name)

metadata.version = hidden
"""
