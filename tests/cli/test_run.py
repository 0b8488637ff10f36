"""``memprof run``: the program behaves as it does alone, and its trace can be read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

import memprof as package
from memprof.trace import Trace, load
from tests.cli.terminal import environment, memprof, python

TRAIN = """
    import torch
    torch.set_num_threads(1)
    model = torch.nn.Linear(64, 32)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.ones(8, 64)).sum().backward()
        optimizer.step()
"""


def write(folder: Path, text: str, name: str = "train.py") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(dedent(text))
    return path


def labels_of(trace: Trace) -> set[str]:
    return {trace.strings[number] for number in trace.labels.name.tolist()}


def test_traces_a_program_nobody_edited(tmp_path: Path) -> None:
    write(tmp_path, TRAIN)
    answer = memprof("run", "-o", "t.json", "train.py", cwd=tmp_path)
    assert answer.returncode == 0
    assert answer.stdout == ""
    told = answer.stderr.splitlines()
    assert told[0].startswith("memprof: wrote t.json: peak ")
    assert told[1] == "Next: memprof report t.json"
    trace = load(tmp_path / "t.json")
    assert trace.complete
    assert trace.header["program"] == ["train.py"]
    assert any(name.endswith("weight") for name in labels_of(trace))


def test_a_self_check_is_answered_in_one_line(tmp_path: Path) -> None:
    write(tmp_path, TRAIN.replace("range(2)", "range(9)"))
    answer = memprof("run", "--self-check", "-o", "t.json", "train.py", cwd=tmp_path)
    told = answer.stderr.splitlines()
    line = next(line for line in told if "Self-check" in line)
    assert line.startswith(
        "memprof: Self-check: steps with and without recording allocate the same"
    )
    assert told[-1] == "Next: memprof report t.json"
    report = memprof("report", "--json", "t.json", cwd=tmp_path)
    assert json.loads(report.stdout)["self_check"]["devices"]["cpu"]["verdict"] == "equal"
    text = memprof("report", "t.json", cwd=tmp_path).stdout
    assert line.removeprefix("memprof: ") in " ".join(text.split())


@pytest.mark.parametrize(
    ("ending", "code", "message"),
    [
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit('no data')", 1, "no data"),
        ("raise SystemExit(True)", 1, ""),
        ("raise KeyError('x')", 1, "KeyError: 'x'"),
        ("import os; os._exit(7)", 7, ""),
        ("this is no Python", 1, "SyntaxError"),
    ],
)
def test_ends_as_the_program_ends(ending: str, code: int, message: str, tmp_path: Path) -> None:
    write(tmp_path, dedent(TRAIN) + ending)
    alone = python("train.py", cwd=tmp_path)
    traced = memprof("run", "-q", "-o", "t.json", "train.py", cwd=tmp_path)
    assert alone.returncode == traced.returncode == code
    assert message in traced.stderr
    assert traced.stderr == alone.stderr
    if "SyntaxError" not in message:
        assert len(load(tmp_path / "t.json").phases) > 0


FAILURES = {
    "in an operation": """
        def f(x):
            return x @ torch.ones(3, 2)
        f(torch.ones(2, 2))
    """,
    "with a cause": """
        try:
            1 / 0
        except ZeroDivisionError as error:
            raise RuntimeError("because") from error
    """,
    "of several at once": "raise ExceptionGroup('several', [ValueError(1), TypeError(2)])",
    "without a line": "raise ValueError('one\\ntwo')",
}


@pytest.mark.parametrize("body", FAILURES.values(), ids=list(FAILURES))
def test_the_traceback_is_what_it_is_without_memprof(body: str, tmp_path: Path) -> None:
    write(tmp_path, "import torch\n" + dedent(body))
    alone = python("train.py", cwd=tmp_path)
    traced = memprof("run", "-q", "-o", "t.json", "train.py", cwd=tmp_path)
    assert "Traceback" in alone.stderr
    assert traced.stderr == alone.stderr
    assert traced.returncode == 1


@pytest.mark.parametrize(
    "body",
    [
        """
        class Model(torch.nn.Module):
            def forward(self, x):
                raise ValueError(x.sum().item())
        Model()(torch.ones(2))
        """,
        """
        class Function(torch.autograd.Function):
            @staticmethod
            def forward(context, x):
                return x * 2
            @staticmethod
            def backward(context, gradient):
                raise ValueError("x")
        Function.apply(torch.ones(2, requires_grad=True)).sum().backward()
        """,
        """
        def f():
            f()
        f()
        """,
    ],
    ids=["forward", "backward", "recursion"],
)
def test_no_frame_of_memprof_in_a_traceback(body: str, tmp_path: Path) -> None:
    write(tmp_path, "import torch\n" + dedent(body))
    traced = memprof("run", "-q", "-o", "t.json", "train.py", cwd=tmp_path)
    head = f'Traceback (most recent call last):\n  File "{tmp_path}/train.py", line '
    assert traced.stderr.startswith(head)
    assert str(Path(package.__file__).parent) not in traced.stderr
    assert "runpy" not in traced.stderr
    assert traced.returncode == 1


def test_the_programs_own_excepthook_is_called(tmp_path: Path) -> None:
    hook = "import sys\nsys.excepthook = lambda kind, *_: print('hook:', kind.__name__)\n1 / 0"
    write(tmp_path, hook)
    answer = memprof("run", "-q", "train.py", cwd=tmp_path)
    assert answer.stdout == "hook: ZeroDivisionError\n"
    assert answer.stderr == ""
    assert answer.returncode == 1


SURROUNDINGS = """
    import atexit, json, sys
    atexit.register(print, "at exit")
    main = sys.modules["__main__"]
    assert vars(main) is globals()
    print(json.dumps([sys.argv, sys.path, __name__, __file__, __package__]))
    print(__spec__ and (__spec__.name, __spec__.origin, __spec__.parent))
    print(sorted(name for name in globals()), "torch" in sys.modules, "numpy" in sys.modules)
"""


@pytest.mark.parametrize("script", ["train.py", "sub/train.py", "link.py"])
def test_the_program_finds_itself_as_python_runs_it(script: str, tmp_path: Path) -> None:
    write(tmp_path, SURROUNDINGS)
    write(tmp_path, SURROUNDINGS, "sub/train.py")
    (tmp_path / "link.py").symlink_to(tmp_path / "sub" / "train.py")
    words = (script, "-o", "--json", "--", "-m", "run")
    alone = python(*words, cwd=tmp_path)
    traced = memprof("run", "-q", *words, cwd=tmp_path)
    assert alone.returncode == 0
    assert traced.stdout == alone.stdout
    assert traced.stderr == alone.stderr


@pytest.mark.parametrize("target", ["package", "package.tool"])
def test_modules(target: str, tmp_path: Path) -> None:
    for name in ("__init__.py", "__main__.py", "tool.py"):
        write(tmp_path, SURROUNDINGS if name != "__init__.py" else "", f"package/{name}")
    alone = python("-m", target, "-m", "x", cwd=tmp_path)
    traced = memprof("run", "-q", "-m", target, "-m", "x", cwd=tmp_path)
    assert alone.returncode == 0
    assert traced.stdout == alone.stdout
    assert traced.stderr == alone.stderr


def test_traceback_of_a_module(tmp_path: Path) -> None:
    write(tmp_path, "raise ValueError(1)", "tool.py")
    answer = memprof("run", "-q", "-m", "tool", cwd=tmp_path)
    expected = (
        f'Traceback (most recent call last):\n  File "{tmp_path}/tool.py", line 1, in <module>\n'
    )
    assert answer.stderr.startswith(expected)
    assert answer.returncode == 1


def test_folder_with_a_program(tmp_path: Path) -> None:
    write(tmp_path, SURROUNDINGS, "app/__main__.py")
    alone = python("app", "x", cwd=tmp_path)
    traced = memprof("run", "-q", "app", "x", cwd=tmp_path)
    assert alone.returncode == 0
    assert traced.stdout == alone.stdout


def test_main_is_usable_by_pickle_and_spawn(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
        import multiprocessing, pickle
        import torch

        class Point:
            pass

        def square(x):
            return x * x

        if __name__ == "__main__":
            assert isinstance(pickle.loads(pickle.dumps(Point())), Point)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.map(square, [3]))
        """,
    )
    answer = memprof("run", "-q", "-o", "t.json", "train.py", cwd=tmp_path)
    assert answer.stderr == ""
    assert answer.stdout == "[9]\n"
    assert load(tmp_path / "t.json").complete


def test_forked_child_leaves_the_trace_to_its_parent(tmp_path: Path) -> None:
    fork = """
        import os, sys, torch
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        kept = torch.ones(1000)
        print("child" if not child else "parent", flush=True)
    """
    write(tmp_path, fork)
    answer = memprof("run", "-o", "t.json", "train.py", cwd=tmp_path)
    assert answer.stdout == "child\nparent\n"
    assert answer.stderr.count("memprof: wrote") == 1
    assert load(tmp_path / "t.json").complete


def test_threads_that_outlive_the_script_are_recorded(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
        import threading, time, torch
        def work():
            time.sleep(0.3)
            torch.ones(123_456)
        threading.Thread(target=work).start()
        """,
    )
    assert memprof("run", "-o", "t.json", "train.py", cwd=tmp_path).returncode == 0
    assert 123_456 * 4 in load(tmp_path / "t.json").allocations.nbytes.tolist()


def test_environment_set_before_torch_counts(tmp_path: Path) -> None:
    """Importing torch too early would fix what the program is still about to choose."""
    script = """
        import os
        os.environ["OMP_NUM_THREADS"] = "2"
        import torch
        print(torch.get_num_threads())
    """
    write(tmp_path, script)
    alone = python("train.py", cwd=tmp_path)
    traced = memprof("run", "-q", "-o", "t.json", "train.py", cwd=tmp_path)
    assert traced.stdout == alone.stdout


def test_looking_for_torch_before_importing_it(tmp_path: Path) -> None:
    write(tmp_path, "import importlib.util\nimportlib.util.find_spec('torch')\n" + dedent(TRAIN))
    assert memprof("run", "-q", "-o", "t.json", "train.py", cwd=tmp_path).returncode == 0
    assert any(name.endswith("weight") for name in labels_of(load(tmp_path / "t.json")))


def test_program_without_torch(tmp_path: Path) -> None:
    write(tmp_path, "print('hello')")
    answer = memprof("run", "-o", "t.json", "train.py", cwd=tmp_path)
    assert answer.stdout == "hello\n"
    assert answer.stderr == "memprof: nothing was recorded: the program never imported torch\n"
    assert answer.returncode == 0
    assert not (tmp_path / "t.json").exists()


def test_switched_off(tmp_path: Path) -> None:
    write(tmp_path, TRAIN)
    answer = memprof("run", "-o", "t.json", "train.py", cwd=tmp_path, MEMPROF="0")
    assert "MEMPROF=0 is set" in answer.stderr
    assert answer.returncode == 0
    assert not (tmp_path / "t.json").exists()


def test_default_name_tells_ranks_and_processes_apart(tmp_path: Path) -> None:
    write(tmp_path, TRAIN, "my.train.py")
    told = memprof("run", "my.train.py", cwd=tmp_path, RANK="3", WORLD_SIZE="4").stderr
    memprof("run", "-q", "my.train.py", cwd=tmp_path)
    names = sorted(path.name for path in tmp_path.glob("memprof-my.train-*.json"))
    assert len(names) == 2
    ranked = [name for name in names if name.endswith(".rank3.json")]
    assert len(ranked) == 1
    assert told.startswith(f"memprof: wrote {ranked[0]}: peak ")
    assert told.splitlines()[1] == f"Next: memprof report {ranked[0]}"
    assert load(tmp_path / ranked[0]).header["rank"] == 3


def test_a_refusal_names_the_file_of_this_rank(tmp_path: Path) -> None:
    write(tmp_path, TRAIN)
    (tmp_path / "t.rank1.json").write_text("precious")
    words = ("run", "-o", "t.json", "train.py")
    answer = memprof(*words, cwd=tmp_path, RANK="1", WORLD_SIZE="2")
    assert answer.returncode == 1
    assert answer.stderr.startswith("memprof: t.rank1.json: exists already")
    assert [path.name for path in tmp_path.glob("*.json")] == ["t.rank1.json"]


def test_a_program_that_gives_itself_a_rank(tmp_path: Path) -> None:
    write(tmp_path, "import os\nos.environ.update(RANK='0', WORLD_SIZE='2')\n" + dedent(TRAIN))
    answer = memprof("run", "-o", "t.json", "train.py", cwd=tmp_path)
    assert answer.stderr.startswith("memprof: wrote t.rank0.json: peak ")
    assert load(tmp_path / "t.rank0.json").complete


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["absent.py"], "absent.py: no such script"),
        (["-m", "absent"], "no module named 'absent'"),
        (["-o", "taken.json", "train.py"], "taken.json: exists already"),
        (["-o", "absent/t.json", "train.py"], "there is no folder absent"),
    ],
)
def test_refused_before_the_program_starts(words: list[str], expected: str, tmp_path: Path) -> None:
    write(tmp_path, "print('started')")
    (tmp_path / "taken.json").write_text("precious")
    answer = memprof("run", *words, cwd=tmp_path)
    assert answer.stdout == ""
    assert answer.stderr.startswith("memprof: ")
    assert answer.stderr.count("\n") == 1
    assert expected in answer.stderr
    assert answer.returncode == 1
    assert (tmp_path / "taken.json").read_text() == "precious"


def test_existing_output_is_overwritten_with_force(tmp_path: Path) -> None:
    write(tmp_path, TRAIN)
    (tmp_path / "t.json").write_text("old")
    answer = memprof("run", "--force", "-o", "t.json", "train.py", cwd=tmp_path)
    assert answer.returncode == 0
    assert load(tmp_path / "t.json").complete


def test_program_that_changes_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path, "import os\nos.chdir('elsewhere')\n" + dedent(TRAIN))
    assert memprof("run", "-o", "t.json", "train.py", cwd=tmp_path).returncode == 0
    assert load(tmp_path / "t.json").complete


LOOP = """
    import torch
    torch.set_num_threads(1)
    print("ready", flush=True)
    while True:
        torch.ones(1000).sum()
"""


def interrupted(folder: Path, number: signal.Signals) -> tuple[int, str]:
    """Sends a signal to a traced program that has run for a while: its exit code and stderr."""
    write(folder, LOOP)
    process = subprocess.Popen(
        [sys.executable, "-m", "memprof", "run", "-o", "t.json", "train.py"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(1.6)
    os.kill(process.pid, number)
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


def test_interrupt(tmp_path: Path) -> None:
    code, stderr = interrupted(tmp_path, signal.SIGINT)
    assert code == -signal.SIGINT
    assert stderr.startswith(f'Traceback (most recent call last):\n  File "{tmp_path}/train.py"')
    assert "KeyboardInterrupt" in stderr
    assert str(Path(package.__file__).parent) not in stderr
    assert load(tmp_path / "t.json").complete


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed(number: signal.Signals, tmp_path: Path) -> None:
    code, _ = interrupted(tmp_path, number)
    assert code == -number
    trace = load(tmp_path / "t.json")
    assert not trace.complete
    assert len(trace.events) > 100
    answer = memprof("report", "t.json", "--json", cwd=tmp_path)
    assert json.loads(answer.stdout)["complete"] is False
