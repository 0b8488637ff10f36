"""``memprof view`` as a process: it answers on its address until it is interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import HTTPCookieProcessor, build_opener

import pytest

from tests.cli.terminal import environment, memprof
from tests.cli.traces import training


def test_serves_until_interrupted(tmp_path: Path) -> None:
    pytest.importorskip("dash")
    training(tmp_path / "t.json")
    process = subprocess.Popen(
        [sys.executable, "-m", "memprof", "view", "t.json", "--no-browser"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    told = process.stderr.readline().split()
    assert told[0] == "Open"
    with build_opener(HTTPCookieProcessor()).open(told[1], timeout=30) as page:
        assert page.status == 200
        assert "memprof" in page.read().decode()
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert stdout == ""
    assert "Traceback" not in stderr
    assert process.returncode in (0, 130)


def test_without_the_dashboard(tmp_path: Path) -> None:
    training(tmp_path / "t.json")
    absent = tmp_path / "absent"
    absent.mkdir()
    (absent / "dash.py").write_text("raise ModuleNotFoundError('no dash', name='dash')")
    paths = f"{absent}:{environment()['PYTHONPATH']}"
    answer = memprof("view", "t.json", cwd=tmp_path, PYTHONPATH=paths)
    assert answer.returncode == 1
    assert answer.stderr == (
        "memprof: memprof view needs the dashboard, and dash is missing: "
        "pip install 'torch-memprof[dashboard]'\n"
    )


@pytest.mark.parametrize("port", ["99999", "x"])
def test_port_that_is_none(port: str, tmp_path: Path) -> None:
    training(tmp_path / "t.json")
    answer = memprof("view", "t.json", "--port", port, cwd=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr.count("\n") == 1
