"""Serving: addresses and ports, who may connect, when a browser opens, how it ends."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from memprof.errors import TraceFileError, UsageError
from memprof_dashboard import serve, server
from tests.trace_builder import TraceBuilder

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from memprof_dashboard import serve
port = int(sys.argv[2]) if len(sys.argv) > 2 else None
serve([sys.argv[1]], port=port, ready=lambda address: print(address, flush=True))
"""


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    build = TraceBuilder()
    build.alloc(1_000, op="aten::ones")
    return build.write(tmp_path / "t.json")


@contextmanager
def running(*words: object, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "dashboard")])
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, **environment},
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def get(address: str, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    place = urlsplit(address)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=20)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read().decode()
    connection.close()
    return found


def test_a_visitor_needs_the_printed_address_and_ctrl_c_ends_it_quietly(trace: Path) -> None:
    hostile = {"HOST": "0.0.0.0", "PORT": "1", "DASH_DEBUG": "true"}
    with running(trace, **hostile) as (process, address):
        place = urlsplit(address)
        assert (place.hostname, place.scheme) == ("127.0.0.1", "http")
        assert get(address, "/")[0] == 401
        assert get(address, "/_dash-layout")[0] == 401
        assert get(address, f"/?{place.query}", Host="evil.example")[0] == 403
        status, headers, _ = get(address, f"/?{place.query}")
        assert status == 303
        cookie = headers["Set-Cookie"].split(";")[0]
        status, headers, body = get(address, "/", Cookie=cookie)
        assert status == 200
        assert "train.py · memprof" in body
        assert "http://" not in body
        assert "https://" not in body
        assert "Content-Security-Policy" in headers
        assert "1000 B" in get(address, "/_dash-layout", Cookie=cookie)[2]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (0, "", "")


def test_a_taken_port_gives_the_next(trace: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(trace, port) as (_, address):
            found = urlsplit(address).port
            assert found is not None
            assert found != port
            assert get(address, "/")[0] == 401


def test_what_cannot_be_served_is_said_in_one_line(trace: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no trace to show"):
        serve([])
    with pytest.raises(UsageError, match="without a token only this machine"):
        serve([trace], host="0.0.0.0", token=False)
    with pytest.raises(UsageError, match="not an address of this machine"):
        serve([trace], host="203.0.113.7")
    with pytest.raises(UsageError, match="does not exist"):
        serve([trace], port=70_000)
    with pytest.raises(TraceFileError):
        serve([tmp_path / "missing.json"])


@pytest.mark.parametrize(
    ("environment", "terminal", "expected"),
    [
        ({"DISPLAY": ":0"}, True, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True, True),
        ({}, True, False),
        ({"DISPLAY": ":0"}, False, False),
        ({"DISPLAY": ":0", "SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, True, False),
        ({"DISPLAY": ":0", "CI": "true"}, True, False),
    ],
)
def test_a_browser_opens_only_before_a_person(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], terminal: bool, expected: bool
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    assert server.wants_browser(environment) is expected


class Unused:
    """A server that nobody visits."""

    effective_port = 8050

    def run(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_an_address_that_others_reach_is_warned_about(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trace: Path,
    host: str,
    warned: bool,
) -> None:
    monkeypatch.setattr(server, "_server", lambda *_: Unused())
    serve([trace], host=host, open_browser=False)
    told = capsys.readouterr()
    assert ("Other machines can reach" in told.err) is warned
    assert "?token=" in told.err
    assert told.out == ""
