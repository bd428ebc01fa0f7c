"""The one gate in front of everything: host, origin, who calls, and what they may do. Deny by default.

Only `/live` is open. An API key comes as `Authorization: Bearer nbk_...`; a person comes with the first-run token once
(`/?token=...`), and from then on with a session cookie that scripts cannot read and other sites cannot send.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import compile_path

from nextbest import operations
from nextbest.errors import LedgerError
from nextbest.serve.replies import problem, refused
from nextbest.serve.service import SCOPES, Refusal, Who
from nextbest.serve.sessions import COOKIE, Sessions

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from nextbest.ledger import Ledger
    from nextbest.serve.routes import Route

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
WHO = "nextbest.who"
NOBODY = Who(name="", scopes=frozenset())
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # Not `no-referrer`: browsers then send `Origin: null` with our own forms, and the origin could not be checked.
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}
WELCOME = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<meta name="viewport" content="width=device-width"><title>nextbest</title>
<h1>Please open the link from the terminal</h1>
<p><code>nextbest serve</code> prints a link that holds a token. Open that link in this browser; it lasts until the
service is stopped.</p><p>Programs send an API key instead: <code>nextbest key create --scope read</code>.</p></html>"""


class Gate:
    """An ASGI application that lets nothing through to the inner one unless it may pass."""

    def __init__(
        self, app: ASGIApp, *, ledger: Ledger, routes: Sequence[Route], sessions: Sessions, hosts: Collection[str]
    ) -> None:
        self._app = app
        self._ledger = ledger
        self._sessions = sessions
        self._hosts = frozenset(h.lower() for h in hosts)
        self._origins = frozenset(ledger.config.server.origins)
        self._routes = [(compile_path(r.path)[0], r) for r in routes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the request, then hand it on; every answer gets the security headers."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        request = Request(scope)
        try:
            answer = await self._answer(request)
        except Refusal as refusal:
            answer = refused(refusal)
        except LedgerError as error:
            answer = problem(503, error.code, "The workspace cannot be read now.")
        await (answer or self._app)(scope, receive, _with_headers(send))

    async def _answer(self, request: Request) -> Response | None:
        """Give the gate's own answer, or None when the request may pass."""
        self._check_host(request.headers)
        self._check_origin(request.headers)
        routes = [r for pattern, r in self._routes if pattern.match(request.scope["path"])]
        if request.method in {"GET", "HEAD"} and any(r.scope == "open" for r in routes):
            request.scope[WHO] = NOBODY
            return None
        if request.method == "GET" and request.url.path == "/" and self._sessions.admits(request):
            return self._sessions.start(RedirectResponse("/", 303))
        who = await self._who(request)
        if who is None:
            return self._unknown(request)
        needed = {r.scope for r in routes if r.method == request.method} or {r.scope for r in routes}
        if not all(map(who.may, needed)):
            raise Refusal(403, "scope", f"This key may not do that; it needs the scope {' or '.join(sorted(needed))}.")
        request.scope[WHO] = who
        return None

    def _check_host(self, headers: Headers) -> None:
        given = headers.getlist("host")
        if len(given) != 1 or _name(given[0]) not in self._hosts:
            raise Refusal(403, "host", "This service does not answer to that host. Add it to [server] hosts.")

    def _check_origin(self, headers: Headers) -> None:
        for origin in headers.getlist("origin"):
            parts = urlsplit(origin)
            own = parts.scheme in {"http", "https"} and parts.netloc.lower() == headers["host"].lower()
            if not own and origin not in self._origins:
                raise Refusal(403, "origin", "A page of another origin may not use this service.")

    async def _who(self, request: Request) -> Who | None:
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        if kind:
            found = None
            if kind.lower() == "bearer":
                found = await to_thread.run_sync(operations.find_key, self._ledger, key.strip())
            return None if found is None else Who(name=found.key_id, scopes=frozenset(found.scopes))
        csrf = self._sessions.csrf(request.cookies.get(COOKIE, ""))
        if csrf is None:
            return None
        who = Who(name="page", scopes=SCOPES, csrf=csrf)
        self._check_session(request, who)
        return who

    def _check_session(self, request: Request, who: Who) -> None:
        """Refuse an unsafe request that a foreign page may have made with the session's cookie.

        A form carries its token in the body, which is checked where the body is read.
        """
        if request.method in SAFE:
            return
        if "origin" not in request.headers:
            raise Refusal(403, "origin", "A request with a session names its origin.")
        is_form = any(r.form for pattern, r in self._routes if pattern.match(request.scope["path"]))
        if not is_form and not self._sessions.same(request.headers.get("x-csrf-token", ""), who.csrf):
            raise Refusal(403, "csrf", "A request with a session sends the page's token as X-CSRF-Token.")

    def _unknown(self, request: Request) -> Response:
        challenge = {"www-authenticate": "Bearer"}
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(WELCOME, 401, headers=challenge)
        return problem(401, "key", "Send an API key: Authorization: Bearer nbk_...", headers=challenge)


def _name(host: str) -> str:
    """Give the name in a Host header, without its port; IPv6 addresses keep their brackets."""
    name = host.strip().lower()
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    return name.partition(":")[0]


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
