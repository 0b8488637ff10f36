"""Serves the dashboard on this machine until Ctrl-C."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from waitress.server import create_server

from memprof.analyze import analyze
from memprof.errors import UsageError
from memprof.trace import load
from memprof_dashboard.app import create_app
from memprof_dashboard.following import Following
from memprof_dashboard.guard import LOCAL, Guard
from memprof_dashboard.state import Shown

FIRST_PORT = 8050
_TRIES = 20
_THREADS = 4


def serve(
    paths: Sequence[str | os.PathLike[str]],
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    open_browser: bool | None = None,
    token: bool = True,
    follow: bool = False,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Opens traces in a browser; returns when interrupted.

    Args:
        paths: trace files, at least one.
        host: the address to listen on.
        port: the port; where it is taken, the next free one. None begins at 8050.
        open_browser: None opens one only where a person sits at this machine's terminal.
        token: whether a visitor has to show the token of the printed address.
        follow: whether to go on reading while the files grow.
        ready: is told the address once it answers; without it the address is printed.

    Raises:
        TraceFileError: if a file cannot be read.
        UsageError: for no path, for a host or port that cannot be listened on, and for
            `token=False` on an address that other machines reach.
    """
    if not paths:
        raise UsageError("no trace to show: name at least one trace file")
    if not token and host not in LOCAL:
        raise UsageError(f"without a token only this machine may connect: leave out host {host!r}")
    secret = secrets.token_urlsafe(24) if token else None
    files = [Path(path) for path in paths]
    following = Following(files) if follow else None
    shown = following.shown if following else Shown([analyze(load(path)) for path in files])
    server = _server(shown, host, port, secret)
    address = _address(host, int(server.effective_port), secret)
    if host not in LOCAL:
        _say("Other machines can reach this address, and what passes is not encrypted.")
    (ready or _announce)(address)
    if open_browser or (open_browser is None and wants_browser(os.environ)):
        threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()
    if following:
        following.start()
    with contextlib.closing(server):
        server.run()


def wants_browser(environment: os._Environ[str] | dict[str, str]) -> bool:
    """Whether someone sits before this machine's own screen: no SSH, no CI, a terminal."""
    remote = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY", "CI")
    if any(environment.get(name) for name in remote) or not sys.stdout.isatty():
        return False
    screens = ("DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform != "linux" or any(environment.get(name) for name in screens)


def listen(host: str, port: int | None) -> socket.socket:
    """Listens on the wanted port, else on one of the next that are free, else on any.

    Raises:
        UsageError: if the host is not an address of this machine, or the port not a port.
    """
    first = FIRST_PORT if port is None else port
    if not 0 <= first <= 65_535:
        raise UsageError(f"port {first} does not exist: choose one up to 65535")
    for candidate in [*range(first, min(first + _TRIES, 65_536)), 0]:
        found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host, candidate))
            found.listen()
        except OSError:
            found.close()
        else:
            return found
    raise UsageError(f"cannot listen on {host!r}: it is not an address of this machine")


def _server(shown: Shown, host: str, port: int | None, secret: str | None) -> Any:
    app = create_app(shown)
    guarded = Guard(
        app.server,
        token=secret,
        hosts=LOCAL if host in LOCAL else None,
        script_hashes=app.csp_hashes(),
    )
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    return create_server(guarded, sockets=[listen(host, port)], threads=_THREADS, ident=None)


def _address(host: str, port: int, secret: str | None) -> str:
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    place = f"http://{f'[{name}]' if ':' in name else name}:{port}/"
    return f"{place}?token={secret}" if secret else place


def _announce(address: str) -> None:
    _say(f"Open {address}\nCtrl-C ends it.")
    if os.environ.get("SSH_CONNECTION"):
        port = address.rpartition(":")[2].partition("/")[0]
        _say(f"From your own machine first: ssh -N -L {port}:localhost:{port} {_me()}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _me() -> str:
    return f"{os.environ.get('USER', 'user')}@{socket.gethostname()}"
