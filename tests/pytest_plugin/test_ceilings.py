"""``@pytest.mark.memory_ceiling``: what it counts, and which of several holds."""

from __future__ import annotations

from tests.pytest_plugin.conftest import KIB, Project, passed, sentences


def test_total_and_category_on_peak_and_end(project: Project) -> None:
    found = project.results("""
held = []

def teardown_module():
    held.clear()

@pytest.mark.memory_ceiling("100 KiB")
def test_fits():
    take(100)

@pytest.mark.memory_ceiling("100 KiB")
def test_does_not_fit():
    take(101)

@pytest.mark.memory_ceiling("300 KiB", activations="100 KiB")
def test_one_category():
    kept = Exponential()(110)

@pytest.mark.memory_ceiling("64 KiB", on="end")
def test_end():
    take(200)
    held.append(take(64))

@pytest.mark.memory_ceiling(on="end", temporary=0)
def test_nothing_at_the_end():
    take(64)
""")
    outcomes = {name: result["outcome"] for name, result in found.items()}
    assert outcomes == {
        "test_fits": "passed",
        "test_does_not_fit": "failed",
        "test_one_category": "failed",
        "test_end": "passed",
        "test_nothing_at_the_end": "passed",
    }
    (verdict,) = found["test_does_not_fit"]["verdicts"]
    assert verdict["measured_bytes"] == 101 * KIB
    assert verdict["limit_bytes"] == 100 * KIB
    assert verdict["sentence"] == (
        "memory peaked at 101.00 KiB on cpu, ceiling 100.00 KiB (+1.00 KiB); "
        "nothing was held before the test"
    )
    assert verdict["largest"] == ["101.00 KiB  temporary  zeros  test_it.py:7"]
    assert passed(found["test_one_category"]) == [True, False]
    (_, category) = found["test_one_category"]["verdicts"]
    assert category["category"] == "activations"
    assert category["measured_bytes"] == 110 * KIB
    assert category["largest"][0].startswith("110.00 KiB  activations  ")


def test_what_was_there_before_is_named_and_not_blamed(project: Project) -> None:
    found = project.results("""
left = []

def teardown_module():
    left.clear()

def test_leaves_something():
    left.append(take(512))

@pytest.mark.memory_ceiling("64 KiB")
def test_growth():
    take(64)

@pytest.mark.memory_ceiling("575 KiB", absolute=True)
def test_absolute():
    take(64)
""")
    assert found["test_growth"]["outcome"] == "passed"
    (growth,) = found["test_growth"]["verdicts"]
    assert growth["held_bytes"] == 512 * KIB
    assert growth["sentence"].endswith(
        "; 512.00 KiB was held before the test (unattributed 512.00 KiB)"
    )
    assert found["test_absolute"]["outcome"] == "failed"
    (absolute,) = found["test_absolute"]["verdicts"]
    assert absolute["measured_bytes"] == 576 * KIB
    assert absolute["sentence"].endswith(
        "; of it 512.00 KiB was held before the test (unattributed 512.00 KiB)"
    )


def test_own_fixtures_count_and_shared_ones_do_not(project: Project) -> None:
    found = project.results("""
@pytest.fixture
def own():
    return take(100)

@pytest.fixture(scope="module")
def shared():
    return take(1000)

@pytest.mark.memory_ceiling("120 KiB")
def test_counted(shared, own):
    take(20)

@pytest.mark.memory_ceiling("119 KiB")
def test_counted_and_too_much(shared, own):
    take(20)

@pytest.mark.memory_ceiling("20 KiB", fixtures=False)
def test_not_counted(shared, own):
    take(20)

@pytest.fixture(scope="module")
def late():
    return take(7)

@pytest.mark.memory_ceiling("120 KiB")
def test_with_a_late_shared_one(shared, own, request):
    take(20)
    request.getfixturevalue("late")
""")
    outcomes = [result["outcome"] for result in found.values()]
    assert outcomes == ["passed", "failed", "passed", "passed"]
    verdicts = [result["verdicts"][0] for result in found.values()]
    assert [verdict["measured_bytes"] // KIB for verdict in verdicts] == [120, 120, 20, 120]
    held = [verdict["held_bytes"] - verdicts[0]["held_bytes"] for verdict in verdicts]
    assert held == [0, 0, 100 * KIB, 0]


def test_the_closest_wins_and_several_add_up(project: Project) -> None:
    found = project.results("""
pytestmark = pytest.mark.memory_ceiling("10 KiB", weights="1 KiB")

def test_module():
    take(11)

@pytest.mark.memory_ceiling("50 KiB")
class TestGroup:
    def test_of_class(self):
        take(40)

    @pytest.mark.memory_ceiling("20 KiB")
    @pytest.mark.memory_ceiling(activations="5 KiB")
    def test_of_its_own(self):
        take(30)

    @pytest.mark.memory_ceiling(None)
    def test_free(self):
        take(90)
""")
    limits = {
        name: {v["category"]: v["limit_bytes"] // KIB for v in result["verdicts"]}
        for name, result in found.items()
    }
    assert limits == {
        "test_module": {"": 10, "weights": 1},
        "TestGroup::test_of_class": {"": 50, "weights": 1},
        "TestGroup::test_of_its_own": {"": 20, "activations": 5, "weights": 1},
        "TestGroup::test_free": {"weights": 1},
    }
    outcomes = [result["outcome"] for result in found.values()]
    assert sorted(outcomes) == ["failed", "failed", "passed", "passed"]


def test_different_for_each_parameter(project: Project) -> None:
    found = project.results("""
@pytest.mark.parametrize("size", [10, 20])
@pytest.mark.memory_ceiling({10: "10 KiB", 20: "19 KiB"})
def test_by_value(size):
    take(size)

@pytest.mark.parametrize(("size", "kind"), [(10, "a"), (20, "b")])
@pytest.mark.memory_ceiling({"10-a": "10 KiB", (20, "b"): None})
def test_by_id(size, kind):
    take(size)

@pytest.mark.parametrize("size", [10, 20])
@pytest.mark.memory_ceiling(lambda size: size * 1024, temporary=lambda size: size * 1000)
def test_by_callable(size):
    take(size)
""")
    assert {name: passed(result) for name, result in found.items()} == {
        "test_by_value[10]": [True],
        "test_by_value[20]": [False],
        "test_by_id[10-a]": [True],
        "test_by_id[20-b]": [],
        "test_by_callable[10]": [True, False],
        "test_by_callable[20]": [True, False],
    }


def test_a_default_ceiling_holds_for_all(project: Project) -> None:
    (project.path / "pytest.ini").write_text("[pytest]\nmemprof_ceiling = 10 KiB\n")
    found = project.results("""
def test_plain():
    take(11)

@pytest.mark.memory_ceiling("20 KiB")
def test_marked():
    take(11)

@pytest.mark.memory_ceiling(None)
def test_free():
    take(11)
""")
    outcomes = {name: result["outcome"] for name, result in found.items()}
    assert outcomes == {"test_plain": "failed", "test_marked": "passed", "test_free": "passed"}


def test_a_device_that_is_not_there(project: Project) -> None:
    result = project.run(
        """
@pytest.mark.memory_ceiling("1 KiB", device="cuda:7")
def test_card():
    take(20)

@pytest.mark.memory_ceiling("1 KiB", device="cpu")
def test_host():
    take(20)
""",
        "-rs",
    )
    result.stdout.fnmatch_lines(["SKIPPED*cuda:7 is not there: *", "*1 skipped, 1 memory*"])


def test_failed_tests_have_their_verdict_too(project: Project) -> None:
    source = """
@pytest.mark.memory_ceiling("10 KiB")
def test_wrong():
    kept = take(11)
    assert 1 == 2

@pytest.mark.memory_ceiling("1 GiB")
def test_out_of_memory():
    kept = take(30)
    torch.empty(1 << 60, dtype=torch.uint8)

@pytest.fixture
def large():
    kept = take(30)
    torch.empty(1 << 60, dtype=torch.uint8)

@pytest.mark.memory_ceiling("1 GiB")
def test_fixture_out_of_memory(large):
    pass

@pytest.mark.memory_ceiling("1 GiB")
def test_out_of_device_memory():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has")
"""
    found = project.results(source, "--memprof-trace-dir", "traces")
    assert [result["outcome"] for result in found.values()] == ["failed"] * 4
    assert not any(result["exceeded"] for result in found.values())
    assert sentences(found["test_wrong"])[0].startswith("memory peaked at 11.00 KiB")
    for name in ("test_out_of_memory", "test_fixture_out_of_memory"):
        died = found[name]["verdicts"][-1]
        assert died["check"] == "out_of_memory"
        assert died["sentence"].startswith(
            "out of memory: it tried to allocate 1024.00 PiB; memory peaked at 30.00 KiB on cpu"
        )
        assert died["largest"] == ["30.00 KiB  unattributed  zeros  test_it.py:7"]
    assert "tried to allocate 2.00 GiB" in sentences(found["test_out_of_device_memory"])[-1]
    assert len(list((project.path / "traces").iterdir())) == 4
    result = project.again()
    result.stdout.fnmatch_lines(
        ["*FAILURES*", "E*assert 1 == 2", "*- memory -*", "memory peaked at 11.00 KiB on cpu*"]
    )
