"""The guard: who gets in, who does not, and what every answer carries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from memprof_dashboard.guard import LOCAL, Guard

TOKEN = "right-token"


class Answer:
    """What came back: status code, headers and body."""

    def __init__(self, guard: Guard, environ: dict[str, Any]) -> None:
        self.body = b"".join(guard(environ, self._start)).decode()

    def _start(self, status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
        self.status, self.headers = int(status.split()[0]), dict(headers)


def ask(guard: Guard, query: str = "", *, path: str = "/", **more: str) -> Answer:
    request = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query}
    return Answer(guard, {**request, "HTTP_HOST": "127.0.0.1:8050", **more})


def inside(_environ: Any, start: Any) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"secret"]


@pytest.fixture
def guard() -> Guard:
    return Guard(inside, token=TOKEN, script_hashes=["sha256-abc="])


@pytest.mark.parametrize(
    "query", ["", "token=", "token=wrong", f"token={TOKEN}x", f"Token={TOKEN}", "token=%ff"]
)
def test_without_the_token_nobody_gets_in(guard: Guard, query: str) -> None:
    answer = ask(guard, query)
    assert answer.status == 401
    assert "secret" not in answer.body
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("cookie", ["", "memprof=right-token", "a=b; c", "\x00", "x=right-token"])
def test_other_cookies_do_not_help(guard: Guard, cookie: str) -> None:
    assert ask(guard, HTTP_COOKIE=cookie).status == 401


def test_the_token_becomes_a_cookie_and_leaves_the_address(guard: Guard) -> None:
    answer = ask(guard, f"event=5&token={TOKEN}&from=1")
    assert answer.status == 303
    assert answer.headers["Location"] == "/?event=5&from=1"
    cookie, *rules = answer.headers["Set-Cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} == set(rules)
    answer = ask(guard, HTTP_COOKIE=f"other=1; {cookie}")
    assert (answer.status, answer.body) == (200, "secret")


def test_the_way_in_leads_nowhere_else(guard: Guard) -> None:
    answer = ask(guard, f"token={TOKEN}", path="//evil.example/x")
    assert answer.headers["Location"] == "/evil.example/x"
    assert ask(guard, f"token={TOKEN}", REQUEST_METHOD="POST").status == 401


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "0.0.0.0:8050",
        "",
        "localhost@evil.example",
        "[::1",
    ],
)
def test_other_host_names_are_refused(host: str) -> None:
    answer = ask(Guard(inside, token=None), HTTP_HOST=host)
    assert (answer.status, "secret" in answer.body) == (403, False)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9444", "127.0.0.1:1", "[::1]:8050"])
def test_this_machine_has_three_names(host: str) -> None:
    assert ask(Guard(inside, token=None), HTTP_HOST=host).status == 200
    assert len(LOCAL) == 3


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:8050"]
)
def test_pages_of_other_origins_are_refused(guard: Guard, origin: str) -> None:
    cookie = ask(guard, f"token={TOKEN}").headers["Set-Cookie"].split(";")[0]
    assert ask(guard, HTTP_COOKIE=cookie, HTTP_ORIGIN=origin).status == 403
    assert ask(guard, HTTP_COOKIE=cookie, HTTP_ORIGIN="http://127.0.0.1:8050").status == 200


def test_a_forwarded_port_is_the_same_origin() -> None:
    guard = Guard(inside, token=None)
    forwarded = {"HTTP_HOST": "localhost:9444", "HTTP_ORIGIN": "http://localhost:9444"}
    assert ask(guard, **forwarded).status == 200


def test_answers_carry_a_policy_that_keeps_everything_here(guard: Guard) -> None:
    cookie = ask(guard, f"token={TOKEN}").headers["Set-Cookie"].split(";")[0]
    policy = ask(guard, HTTP_COOKIE=cookie).headers["Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["script-src"] == "'self' 'sha256-abc='"
    assert rules["connect-src"] == "'self'"
    assert "http" not in policy


def test_two_dashboards_keep_two_cookies() -> None:
    names = {
        ask(Guard(inside, token=token), f"token={token}").headers["Set-Cookie"].split("=")[0]
        for token in ("one", "two")
    }
    assert len(names) == 2
