"""What is said, and which code is returned, when something is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import memprof
from tests.cli.traces import training

READERS = ("report", "compare", "info", "view")


def one_line(answer: object) -> str:
    """The message on stderr, which must be a single line, with nothing on stdout."""
    stdout, stderr = answer.stdout, answer.stderr  # type: ignore[attr-defined]
    assert stdout == ""
    assert stderr.startswith("memprof: ")
    assert stderr.count("\n") == 1
    return str(stderr)


@pytest.mark.parametrize("verb", READERS)
def test_missing_file(verb: str, tmp_path: Path) -> None:
    answer = memprof(verb, "absent.json", cwd=tmp_path)
    assert one_line(answer) == "memprof: absent.json: no such file\n"
    assert answer.returncode == 1


@pytest.mark.parametrize("verb", READERS)
def test_foreign_file(verb: str, tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"name": "left-pad"}\n')
    answer = memprof(verb, "package.json", cwd=tmp_path)
    assert "package.json: not a memprof trace" in one_line(answer)
    assert answer.returncode == 1


def test_newer_format(tmp_path: Path) -> None:
    newer = training(tmp_path / "t.json").read_bytes().replace(b'"version":1', b'"version":99', 1)
    (tmp_path / "t.json").write_bytes(newer)
    answer = memprof("report", "t.json", cwd=tmp_path)
    assert "format 99" in one_line(answer)
    assert "pip install -U torch-memprof" in answer.stderr
    assert answer.returncode == 1


def test_damaged_file(tmp_path: Path) -> None:
    path = training(tmp_path / "t.json")
    path.write_bytes(path.read_bytes().replace(b'"k":"events"', b'"k":"evants"', 1))
    answer = memprof("report", "t.json", cwd=tmp_path)
    assert "t.json: damaged at line" in one_line(answer)
    assert answer.returncode == 1


def test_folder_instead_of_a_file(tmp_path: Path) -> None:
    answer = memprof("report", ".", cwd=tmp_path)
    assert "is a directory" in one_line(answer)
    assert answer.returncode == 1


@pytest.mark.parametrize("verb", ["report", "compare", "info"])
def test_output_that_exists_is_kept(verb: str, tmp_path: Path) -> None:
    training(tmp_path / "t.json")
    (tmp_path / "answer.txt").write_text("precious")
    answer = memprof(verb, "t.json", "-o", "answer.txt", cwd=tmp_path)
    assert "answer.txt: exists already" in one_line(answer)
    assert "--force" in answer.stderr
    assert answer.returncode == 1
    assert (tmp_path / "answer.txt").read_text() == "precious"
    assert memprof(verb, "t.json", "-o", "answer.txt", "--force", cwd=tmp_path).returncode == 0
    assert (tmp_path / "answer.txt").read_text() != "precious"


def test_output_in_no_folder(tmp_path: Path) -> None:
    training(tmp_path / "t.json")
    answer = memprof("info", "t.json", "-o", "absent/answer.txt", cwd=tmp_path)
    assert "absent/answer.txt: cannot be written" in one_line(answer)
    assert answer.returncode == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["reprot", "t.json"], "did you mean: memprof report"),
        (["train.py", "--lr", "1"], "did you mean: memprof run train.py"),
        (["t.json"], "did you mean: memprof report t.json"),
        (["xyzzy"], "it may be run, report"),
        (["report"], "Missing argument"),
        (["report", "t.json", "--jsn"], "--json"),
        (["report", "t.json", "--color", "pink"], "auto, always, never"),
        (["run", "--recorder", "magic", "train.py"], "auto, native, dispatch"),
        (["run", "--detail", "lines", "train.py"], "choose one of modules, ops"),
        (["run"], "Missing argument"),
    ],
)
def test_usage(words: list[str], expected: str, tmp_path: Path) -> None:
    training(tmp_path / "t.json")
    (tmp_path / "train.py").write_text("raise SystemExit('must not run')")
    answer = memprof(*words, cwd=tmp_path)
    assert expected in one_line(answer)
    assert answer.returncode == 2


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    quiet = memprof("report", "absent.json", cwd=tmp_path)
    loud = memprof("report", "absent.json", "--debug", cwd=tmp_path)
    assert "Traceback" not in quiet.stderr
    assert "Traceback" in loud.stderr
    assert "TraceFileError" in loud.stderr
    assert loud.returncode == 1


def test_unknown_setting(tmp_path: Path) -> None:
    training(tmp_path / "t.json")
    (tmp_path / "pyproject.toml").write_text('[tool.memprof]\ncolour = "never"\n')
    answer = memprof("report", "t.json", cwd=tmp_path)
    assert "unknown key 'colour'; did you mean 'color'?" in one_line(answer)
    assert answer.returncode == 2


def test_reader_of_a_pipe_that_leaves(tmp_path: Path) -> None:
    """As in ``memprof report t.json --json | head -c 1``: no traceback, whatever the timing."""
    from tests.cli.terminal import python

    training(tmp_path / "t.json")
    program = (
        "import os, sys; reading, writing = os.pipe(); os.close(reading); os.dup2(writing, 1);"
        "from memprof.cli.main import main; sys.exit(main(['report', 't.json', '--json']))"
    )
    answer = python("-c", program, cwd=tmp_path)
    assert answer.stderr == ""
    assert answer.returncode == 1
