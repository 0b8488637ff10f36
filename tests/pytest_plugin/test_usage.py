"""What is said of markers, options and surroundings that mean nothing."""

from __future__ import annotations

import pytest

import memprof
from tests.pytest_plugin.conftest import Project

BAD = """
@pytest.mark.memory_ceiling("2 gigs")
def test_size(): pass

@pytest.mark.memory_ceiling(-1)
def test_negative(): pass

@pytest.mark.memory_ceiling(True)
def test_boolean(): pass

@pytest.mark.memory_ceiling()
def test_nothing(): pass

@pytest.mark.memory_ceiling("1 KiB", "2 KiB")
def test_two(): pass

@pytest.mark.memory_ceiling(activation="1 KiB")
def test_category(): pass

@pytest.mark.memory_ceiling("1 KiB", device="cuda 0")
def test_device(): pass

@pytest.mark.memory_ceiling("1 KiB", on="average")
def test_on(): pass

@pytest.mark.memory_ceiling("1 KiB", absolute="yes")
def test_flag(): pass

@pytest.mark.parametrize("size", [3])
@pytest.mark.memory_ceiling({1: "1 KiB"})
def test_mapping(size): pass

@pytest.mark.memory_ceiling(lambda length: length)
def test_callable(): pass

@pytest.mark.parametrize("size", [0])
@pytest.mark.memory_ceiling(lambda size: 1 // size)
def test_failing_callable(size): pass

@pytest.mark.memory_leak("0 B", limit="0 B")
def test_leak(): pass

@pytest.mark.memory_leak(categories=[])
def test_leak_option(): pass

@pytest.mark.memory_matches_estimate(tolerance="5 %%")
def test_tolerance(): pass

@pytest.mark.memory_matches_estimate(categories="weights")
def test_categories(): pass

def test_good(): pass
"""
SAID = {
    "test_size": "memory_ceiling('2 gigs'): '2 gigs' is not a size: write it like '2 GiB'",
    "test_negative": "memory_ceiling(-1): -1 is less than nothing",
    "test_boolean": "memory_ceiling(True): True is not a size",
    "test_nothing": "memory_ceiling(): without a size",
    "test_two": "memory_ceiling('1 KiB', '2 KiB'): more than one size",
    "test_category": "'activation' is no option and no category; did you mean 'activations'?",
    "test_device": "device 'cuda 0' is none: write it like 'cpu', 'cuda' or 'cuda:0'",
    "test_on": "on='average': choose 'peak' or 'end'",
    "test_flag": "absolute='yes': write True or False",
    "test_mapping[3]": "no entry for the parameters [3]: the mapping has 1",
    "test_callable": "'length' is no parameter of the test: it has none",
    "test_failing_callable[0]": "the callable failed: ZeroDivisionError",
    "test_leak": "memory_leak('0 B', limit='0 B'): ",
    "test_leak_option": "unknown option 'categories'; it may have device",
    "test_tolerance": "'5 %%' is not a tolerance: write it like '5%' or '64 KiB'",
    "test_categories": "categories='weights': write a list, as ['weights', 'activations']",
}


def test_bad_markers_are_named_and_stop_nobody(project: Project) -> None:
    result = project.run(BAD)
    result.assert_outcomes(errors=len(SAID), passed=1)
    told = [line for line in result.outlines if line.startswith("memprof: usage error: ")]
    assert len(told) == len(SAID)
    for line, (test, text) in zip(told, SAID.items(), strict=True):
        assert line.startswith(f"memprof: usage error: test_it.py::{test}: ")
        assert text in line
    for test, text in SAID.items():
        assert any(f"test_it.py::{test}: " in e and text in e for e in result.outlines)


def test_bad_markers_are_found_when_tests_are_collected(project: Project) -> None:
    result = project.run(BAD, "--collect-only", "-q")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["memprof: usage error: test_it.py::test_size: *"])
    assert project.again("--collect-only", "-k", "good").ret == pytest.ExitCode.OK


@pytest.mark.parametrize(
    ("ini", "arguments", "message"),
    [
        ("memprof_ceiling = lots", (), "tox.ini: memprof_ceiling: 'lots' is not a size"),
        ("memprof_device = tpu zero", (), "memprof_device: device 'tpu zero' is none"),
        ("memprof_tolerance = 1 % %", (), "memprof_tolerance: '1 % %' is not a tolerance"),
        ("", ("--memprof-top", "many"), "--memprof-top: 'many' is not a number of tests"),
        ("", ("--memprof-ceiling", "x"), "--memprof-ceiling: 'x' is not a size"),
        ("", ("--memprof-update-baseline",), "which file? name it with --memprof-baseline"),
        ("", ("--memprof-baseline", "no.json"), "no.json: no such baseline"),
        ("", ("--memprof-baseline", "tox.ini"), "tox.ini: cannot be read as a baseline"),
        ("", ("--memprof-baseline", "bad.json"), "bad.json: is no baseline of memprof"),
        ("", ("--memprof-baseline", "new.json"), "new.json: written by a newer memprof"),
    ],
)
def test_bad_options_are_one_line(
    project: Project, ini: str, arguments: tuple[str, ...], message: str
) -> None:
    (project.path / "tox.ini").write_text(f"[pytest]\n{ini}\n")
    (project.path / "bad.json").write_text('{"schema": 1, "environments": {"a": {"b": 3}}}')
    (project.path / "new.json").write_text('{"schema": 99}')
    result = project.run("def test_it(): pass", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.errlines if line]
    assert line.startswith("ERROR: memprof: ")
    assert message in line


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("ceilings = 1", "[tool.memprof.pytest]: unknown key 'ceilings'; it may have all, top,"),
        ("ceiling = true", "[tool.memprof.pytest] ceiling: True is not a size"),
        ("json = 1", "[tool.memprof.pytest] json: 1 is not a path"),
    ],
)
def test_bad_tables_are_one_line(project: Project, table: str, message: str) -> None:
    (project.path / "pyproject.toml").write_text(
        f"[tool.pytest.ini_options]\n[tool.memprof.pytest]\n{table}\n"
    )
    result = project.run("def test_it(): pass")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.errlines if line]
    assert message in line


ASKING = """
@pytest.mark.memory_ceiling("1 KiB")
def test_marked():
    take(64)

def test_fixture(memprof):
    pass

def test_plain():
    take(64)
"""


def test_switched_off(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMPROF", "0")
    result = project.run(ASKING, "--memprof", "-rs")
    result.assert_outcomes(passed=2, skipped=1)
    result.stdout.fnmatch_lines(["memprof: MEMPROF=0 is set, so that no test is measured"])


def test_without_the_plugin(project: Project) -> None:
    result = project.run(ASKING, "-p", "no:memprof", "-k", "not fixture")
    result.assert_outcomes(passed=2, deselected=1)


def test_what_is_recorded_already_cannot_be_measured(project: Project) -> None:
    with memprof.trace():
        result = project.run(ASKING, "--memprof")
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(
        ["*test_it.py::test_marked cannot be measured: AlreadyTracingError: *"]
    )


def test_a_test_that_records_itself(project: Project) -> None:
    result = project.run(
        """
import memprof

def test_own():
    with memprof.trace() as t:
        kept = take(64)
    assert t.peak().requested_bytes >= 64 * KIB

@pytest.mark.memory_ceiling("1 KiB")
def test_both():
    with memprof.trace() as t:
        take(64)
""",
        "--memprof",
    )
    assert result.parseoutcomes() == {"passed": 1, "failed": 1}
    result.stdout.fnmatch_lines(
        ["*test_it.py::test_both cannot be measured: the test records itself with memprof.trace()*"]
    )
