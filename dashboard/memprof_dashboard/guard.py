"""Who may talk to the dashboard: only someone who was given its address, and only from it.

A loopback port is open to every user of the machine, and to every web page that such a user
visits. So a request needs the token that was printed in the terminal, a host name that means this
machine (against DNS rebinding), and, where it names an origin, that same host.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_Header = tuple[str, str]


class Guard:
    """Stands before a WSGI application.

    Args:
        application: what answers the requests that are let through.
        token: what a visitor has to show; None lets anyone in who can reach the port.
        hosts: names by which the dashboard may be called; None allows any, which is safe only
            with a token.
        script_hashes: hashes of the inline scripts that pages may contain.
    """

    def __init__(
        self,
        application: WSGIApplication,
        *,
        token: str | None,
        hosts: frozenset[str] | None = LOCAL,
        script_hashes: Iterable[str] = (),
    ) -> None:
        self._application = application
        self._token = token
        self._hosts = hosts
        self._headers = _headers(script_hashes)
        # Cookies know no ports: two dashboards on one machine must not share a name.
        self._cookie = f"memprof-{hashlib.sha256((token or '').encode()).hexdigest()[:12]}"

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Answers a request: lets it through, sends it on without its token, or refuses it."""
        if self._hosts is not None and _host_name(environ.get("HTTP_HOST", "")) not in self._hosts:
            return _refuse(start, HTTPStatus.FORBIDDEN, "This host name is not the dashboard's.")
        if _is_foreign(environ):
            return _refuse(start, HTTPStatus.FORBIDDEN, "Another site's page asked for this.")
        if self._token is None or self._has_cookie(environ):
            return self._application(environ, self._adding_headers(start))
        if self._shows_token(environ):
            return self._welcome(environ, start)
        text = "Open the address that memprof view printed in its terminal: it ends in ?token=…"
        return _refuse(start, HTTPStatus.UNAUTHORIZED, text)

    def _has_cookie(self, environ: WSGIEnvironment) -> bool:
        try:
            cookies = SimpleCookie(environ.get("HTTP_COOKIE", ""))
        except CookieError:
            return False
        return self._cookie in cookies and self._is_token(cookies[self._cookie].value)

    def _shows_token(self, environ: WSGIEnvironment) -> bool:
        shown = dict(parse_qsl(environ.get("QUERY_STRING", ""))).get("token", "")
        return environ.get("REQUEST_METHOD") == "GET" and self._is_token(shown)

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), (self._token or "").encode())

    def _welcome(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        rest = [pair for pair in parse_qsl(environ.get("QUERY_STRING", "")) if pair[0] != "token"]
        # Lax, not Strict: the link may be clicked in a terminal that is itself a web page.
        cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Lax"
        place = "/" + environ.get("PATH_INFO", "/").lstrip("/\\")
        query = f"?{urlencode(rest)}" if rest else ""
        start("303 See Other", [("Location", place + query), ("Set-Cookie", cookie), *_NEVER_KEEP])
        return []

    def _adding_headers(self, start: StartResponse) -> StartResponse:
        def started(status: str, headers: list[_Header], *rest: Any) -> Callable[[bytes], object]:
            return start(status, [*headers, *self._headers], *rest)

        return started


def _headers(script_hashes: Iterable[str]) -> list[_Header]:
    scripts = " ".join(["'self'", *(_quoted(text) for text in script_hashes)])
    policy = {
        "default-src": "'self'",
        "script-src": scripts,
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "worker-src": "'self' blob:",
        "connect-src": "'self'",
        "frame-ancestors": "'self'",
        "form-action": "'self'",
        "base-uri": "'self'",
        "object-src": "'none'",
    }
    return [
        ("Content-Security-Policy", "; ".join(f"{key} {value}" for key, value in policy.items())),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
    ]


_NEVER_KEEP = [("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer")]


def _quoted(text: str) -> str:
    return text if text.startswith("'") else f"'{text}'"


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_foreign(environ: WSGIEnvironment) -> bool:
    """Whether the request says that a page of another origin made it."""
    origin = environ.get("HTTP_ORIGIN")
    if origin is None:
        return False
    host = str(environ.get("HTTP_HOST", ""))
    return str(origin).partition("://")[2].lower() != host.lower()


def _refuse(start: StartResponse, status: HTTPStatus, text: str) -> Iterable[bytes]:
    kind = ("Content-Type", "text/plain; charset=utf-8")
    start(f"{status.value} {status.phrase}", [kind, *_NEVER_KEEP])
    return [f"{text}\n".encode()]
