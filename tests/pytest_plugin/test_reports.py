"""Where a verdict is told: the terminal at every verbosity, JUnit XML, JSON, properties."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest

from tests.pytest_plugin.conftest import KIB, Project

SOURCE = """
@pytest.mark.memory_ceiling("10 KiB")
def test_too_much():
    take(20)

@pytest.mark.memory_ceiling("30 KiB")
def test_fits():
    take(20)

@pytest.mark.memory_leak()
def test_leaks():
    test_leaks.kept = take(5)

def teardown_module():
    del test_leaks.kept

@pytest.mark.xfail(strict=True, reason="known")
@pytest.mark.memory_ceiling("10 KiB")
def test_known():
    take(20)

def test_plain():
    take(64)
"""
SENTENCE = (
    "memory peaked at 20.00 KiB on cpu, ceiling 10.00 KiB (+10.00 KiB); "
    "nothing was held before the test"
)
COUNTS = {"memory": 2, "passed": 3, "xfailed": 1}


@pytest.mark.parametrize(
    ("verbosity", "status"),
    [
        ("-q", "M.."),
        ("--no-header", "test_it.py M.."),
        ("-v", "test_it.py::test_too_much MEMORY*"),
    ],
)
def test_a_status_of_its_own(project: Project, verbosity: str, status: str) -> None:
    result = project.run(SOURCE, verbosity, "-k", "much or fits or plain")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    outcomes = result.parseoutcomes()
    assert (outcomes["memory"], outcomes["passed"]) == (1, 2)
    result.stdout.fnmatch_lines(
        [
            f"{status}*",
            "*= MEMORY =*",
            "*_ test_it.py::test_too_much _*",
            SENTENCE,
            "    20.00 KiB  temporary  zeros  test_it.py:7",
            "memprof report .pytest_cache/d/memprof/test_it.py-test_too_much-*.json",
        ]
    )
    assert "FAILURES" not in result.stdout.str()


def test_files(project: Project) -> None:
    files = ("--junitxml", "junit.xml", "--memprof-json", "out/memory.json")
    result = project.run(SOURCE, *files, "--memprof", "--memprof-top", "2")
    assert result.parseoutcomes() == COUNTS
    result.stdout.fnmatch_lines(
        [
            "*= memory of the tests =*",
            "   64.00 KiB  cpu  test_it.py::test_plain  temporary 64.00 KiB",
            "   20.00 KiB  cpu  test_it.py::test_*  temporary 20.00 KiB",
            "and 3 more; --memprof-top N lists more, --memprof-json FILE all",
            "wrote *memory.json",
        ]
    )
    check_junit(ElementTree.parse(project.path / "junit.xml").getroot())
    check_json(json.loads((project.path / "out" / "memory.json").read_text()))


def check_junit(root: ElementTree.Element) -> None:
    cases = {case.get("name"): case for case in root.iter("testcase")}
    failure = cases["test_too_much"].find("failure")
    assert failure is not None
    assert str(failure.get("message")).startswith(f"MemoryExceeded: {SENTENCE}")
    properties = {
        name: {p.get("name"): p.get("value") for p in case.iter("property")}
        for name, case in cases.items()
    }
    assert properties["test_too_much"]["memprof_cpu_peak_bytes"] == str(20 * KIB)
    assert properties["test_too_much"]["memprof_cpu_temporary_bytes"] == str(20 * KIB)
    assert properties["test_too_much"]["memprof_verdict"] == SENTENCE
    assert str(properties["test_too_much"]["memprof_trace"]).endswith(".json")
    assert "(-10.00 KiB)" in str(properties["test_fits"]["memprof_verdict"])
    assert "memprof_trace" not in properties["test_fits"]
    assert properties["test_plain"]["memprof_cpu_peak_bytes"] == str(64 * KIB)
    assert cases["test_leaks"].find("error") is not None


def check_json(document: dict[str, object]) -> None:
    assert document["schema"] == 1
    assert document["summary"] == {"measured": 5, "exceeded": 2}
    tests = document["tests"]
    assert isinstance(tests, list)
    assert [test["test"] for test in tests] == sorted(test["test"] for test in tests)
    by_name = {test["test"].partition("::")[2]: test for test in tests}
    outcomes = {name: (test["outcome"], test["exceeded"]) for name, test in by_name.items()}
    assert outcomes == {
        "test_too_much": ("failed", True),
        "test_fits": ("passed", False),
        "test_leaks": ("failed", True),
        "test_known": ("skipped", False),
        "test_plain": ("passed", False),
    }
    device = by_name["test_plain"]["devices"]["cpu"]
    assert device["peak_bytes"] == device["by_category"]["temporary"] == 64 * KIB
    assert device["category_peaks"]["temporary"] == 64 * KIB
    assert device["end_bytes"] == 0
    levels = device["waterfall"]
    assert levels["requested"] == device["held_bytes"] + device["peak_bytes"]
    between = sum(gap["bytes"] for gap in levels["gaps"])
    assert levels["requested"] + between == levels["process"]


def test_traces_are_kept_of_tests_that_failed_alone(project: Project) -> None:
    project.run(SOURCE, "--memprof", "--memprof-trace-dir", "traces")
    kept = sorted(path.name.split("-")[1] for path in (project.path / "traces").iterdir())
    assert kept == ["test_known", "test_leaks", "test_too_much"]


def test_a_file_that_cannot_be_written(project: Project) -> None:
    (project.path / "file").write_text("")
    result = project.run("def test_it(): pass", "--memprof-json", "file/memory.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*file/memory.json: cannot be written: *"])


def test_a_report_without_tests(project: Project) -> None:
    result = project.run("", "--memprof", "--memprof-json", "memory.json")
    result.stdout.fnmatch_lines(["no test was measured"])
    assert json.loads((project.path / "memory.json").read_text())["tests"] == []
