"""Leaks, agreement with analysis, and the fixture."""

from __future__ import annotations

from tests.pytest_plugin.conftest import KIB, Project, passed, sentences


def test_leaks(project: Project) -> None:
    found = project.results("""
left = []

def teardown_module():
    left.clear()

@pytest.fixture
def own():
    return {"of the fixture": take(64)}

@pytest.fixture(scope="module")
def shared():
    return {}

@pytest.mark.memory_leak()
def test_clean(own):
    own["cycle"] = own, take(10)

@pytest.mark.memory_leak()
def test_leaky(shared):
    shared["kept"] = take(30)

@pytest.mark.memory_leak("8 KiB")
@pytest.mark.memory_ceiling("20 KiB")
def test_allowed():
    left.append(take(8))
    take(10)

@pytest.mark.memory_leak
def test_wrong():
    left.append(take(8))
    assert False
""")
    assert {name: result["outcome"] for name, result in found.items()} == {
        "test_clean": "passed",
        "test_leaky": "failed",
        "test_allowed": "passed",
        "test_wrong": "failed",
    }
    (leak,) = found["test_leaky"]["verdicts"]
    assert (leak["check"], leak["measured_bytes"]) == ("leak", 30 * KIB)
    assert leak["sentence"] == (
        "30.00 KiB of the test's own stayed on cpu after it, allowed 0 B (+30.00 KiB)"
    )
    assert leak["largest"] == ["30.00 KiB  unattributed  zeros  test_it.py:7"]
    assert [v["check"] for v in found["test_allowed"]["verdicts"]] == ["ceiling", "leak"]
    assert found["test_wrong"]["verdicts"] == []


def test_estimates(project: Project) -> None:
    found = project.results("""
left = []

def teardown_module():
    left.clear()

def train(double=False):
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Linear(64, 64))
    copies = [p.detach().clone().requires_grad_() for p in model.parameters()] if double else []
    model(torch.ones(2, 64)).sum().backward()
    for copy in copies:
        (copy * 2).sum().backward()
    return model, copies

@pytest.mark.memory_matches_estimate()
def test_without_a_model():
    take(1)

@pytest.mark.memory_matches_estimate("5%", categories=["gradients"])
def test_differs():
    train(double=True)

@pytest.mark.memory_matches_estimate(categories=["weights", "gradients"])
def test_agrees():
    left.append(train())

@pytest.mark.memory_matches_estimate("5%", categories=["gradients"])
def test_what_another_test_left_is_not_its_own():
    train()

@pytest.mark.memory_matches_estimate("100%", categories=["weights", "inputs"])
def test_cannot_be_estimated():
    train()
""")
    weights = 2 * (64 * 64 + 64) * 4
    assert [v["measured_bytes"] for v in found["test_agrees"]["verdicts"]] == [weights, weights]
    assert passed(found["test_agrees"]) == [True, True]
    assert passed(found["test_what_another_test_left_is_not_its_own"]) == [True]
    assert passed(found["test_differs"]) == [False]
    assert sentences(found["test_differs"])[0].startswith(
        "gradients peaked at 65.00 KiB on cpu, estimated 32.50 KiB (+32.50 KiB, tolerance 5 %): "
    )
    assert passed(found["test_cannot_be_estimated"]) == [True, False]
    assert "cannot be held against analysis" in sentences(found["test_cannot_be_estimated"])[1]
    assert sentences(found["test_without_a_model"]) == [
        "no category has an estimate: the test called no model that memprof saw"
    ]


def test_the_fixture(project: Project) -> None:
    found = project.results(
        """
def test_part(memprof):
    before = take(500)
    model = Exponential()
    with memprof.ceiling("120 KiB", activations="100 KiB") as t:
        kept = model(100)
        memprof.step()
    assert t.peak.by_category["activations"] == 100 * KIB
    assert t.category_peaks["activations"].bytes == 100 * KIB
    assert t.peak.bytes == 100 * KIB + 4
    assert t.held.bytes == 500 * KIB + 4
    assert t.end.bytes == 100 * KIB + 4
    with memprof.ceiling() as second:
        del kept, before
        take(64)
    assert second.peak.bytes == 0
    assert second.end.bytes == -600 * KIB - 4

def test_too_much(memprof):
    with memprof.ceiling("10 KiB"):
        take(20)
    assert False, "the block has failed the test"

def test_wrong_in_the_block(memprof):
    with memprof.ceiling("10 KiB"):
        kept = take(20)
        assert False, "own fault"

@pytest.mark.parametrize("size", [10])
def test_by_parameter(memprof, size):
    with memprof.ceiling({10: "9 KiB"}):
        take(size)

def test_bad(memprof):
    with memprof.ceiling("much"):
        pass

def test_too_early(memprof):
    with memprof.ceiling() as t:
        t.peak

def test_too_late(request):
    request.getfixturevalue("memprof")
""",
        "--memprof-trace-dir",
        "traces",
    )
    outcomes = [(result["outcome"], result["exceeded"]) for result in found.values()]
    failed = ("failed", False)
    assert dict(zip(found, outcomes, strict=True)) == {
        "test_part": ("passed", False),
        "test_too_much": ("failed", True),
        "test_wrong_in_the_block": failed,
        "test_by_parameter[10]": ("failed", True),
        "test_bad": failed,
        "test_too_early": failed,
    }
    assert sentences(found["test_wrong_in_the_block"])[0].startswith("memory peaked at 20.00 KiB")
    result = project.again("-k", "bad or early or late or wrong")
    result.stdout.fnmatch_lines_random(
        [
            "*'much' is not a size: write it like '2 GiB'*",
            "*the figures are there once the `with memprof.ceiling()` block ended*",
            "*name memprof among the test's arguments*",
            "*own fault*",
        ]
    )
