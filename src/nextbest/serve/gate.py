"""The one gate in front of everything: host, origin, who calls, and what they may do. Deny by default.

Open are `/live`, the links of messages (`/u/...`) and the style of the pages. An API key comes as
 `Authorization: Bearer nbk_...`; a person comes with the first-run token once
(`/?token=...`), and from then on with a session cookie that scripts cannot read and other sites cannot send.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import compile_path

from nextbest import doors
from nextbest.errors import LedgerError
from nextbest.serve import origins
from nextbest.serve.callers import Callers, Found
from nextbest.serve.passes import Pass, Passes
from nextbest.serve.public import WRITE
from nextbest.serve.replies import problem, refused
from nextbest.serve.service import SCOPES, Refusal, Who
from nextbest.serve.sessions import COOKIE, Sessions

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from nextbest.ledger import Ledger
    from nextbest.serve.limits import Limits
    from nextbest.serve.routes import Route

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
WHO = "nextbest.who"
LINKS = "/u/"
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
_RAW = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
WELCOME = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<meta name="viewport" content="width=device-width"><title>nextbest</title>
<h1>Please open the link from the terminal</h1>
<p><code>nextbest serve</code> prints a link that holds a token. Open that link in this browser; it lasts until the
service is stopped.</p><p>Programs send an API key instead: <code>nextbest key create --scope read</code>.</p></html>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One workspace behind the gate: its application, its sessions, and the origins whose pages may use it.

    `express` has the applications that answer a method and path by themselves, without the table in between.
    """

    ledger: Ledger
    app: Starlette
    sessions: Sessions
    origins: frozenset[str]
    express: Mapping[tuple[str, str], ASGIApp] = field(default_factory=dict)


class Gate:
    """An ASGI application that lets nothing through to a workspace unless it may pass."""

    def __init__(
        self, doors: Sequence[Door], *, routes: Sequence[Route], hosts: Collection[str], limits: Limits, proxied: bool
    ) -> None:
        self._doors = tuple(doors)
        self._callers = Callers([d.ledger for d in doors])
        self._limits = limits
        self._proxied = proxied
        self._hosts = frozenset(h.lower() for h in hosts)
        self._origins = frozenset(o for d in doors for o in d.origins)
        self._routes = [(compile_path(r.path)[0], r) for r in routes]
        self._passes = Passes(self._callers, {route for d in doors for route in d.express}, who=_caller)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the request, then hand it to its workspace; every answer gets the security headers."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        app: ASGIApp
        try:
            known = self._passes.find(scope)
            app = await self._passed(Request(scope)) if known is None else self._let_through(scope, known)
        except Refusal as refusal:
            app = refused(refusal)
        except LedgerError as error:
            app = problem(503, error.code, "The workspace cannot be read now.")
        await app(scope, receive, _with_headers(send, self._page_headers(scope)))

    def _page_headers(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """Give what lets a page of a known origin read its answer, also when that is a refusal."""
        if not self._origins or (request := Request(scope)).headers.get("origin") not in self._origins:
            return []
        routes = [r for pattern, r in self._routes if pattern.match(scope["path"])]
        return [(name.encode(), value.encode()) for name, value in origins.allowing(request, routes).items()]

    def _let_through(self, scope: Scope, known: Pass) -> ASGIApp:
        """Give the application for a request like one that passed just now; only the rate is asked again."""
        door = self._doors[known.number]
        self._check_rate(door, known.who)
        scope[WHO] = known.who
        return door.express[scope["method"], scope["path"]]

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start and end the applications of all workspaces together."""
        await receive()
        async with AsyncExitStack() as stack:
            for door in self._doors:
                await stack.enter_async_context(door.app.router.lifespan_context(door.app))
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
        del scope

    async def _passed(self, request: Request) -> ASGIApp:
        """Give the application that answers: the workspace's, or an answer of the gate itself."""
        self._check_host(request.headers)
        origins.check(request.headers, self._origins)
        routes = [r for pattern, r in self._routes if pattern.match(request.scope["path"])]
        if (asked := origins.preflight(request, routes)) is not None:
            return asked
        method = "GET" if request.method == "HEAD" else request.method
        if any(r.scope == "open" and r.method == method for r in routes):
            request.scope[WHO] = NOBODY
            return self._door_of(request).app
        if request.method == "GET" and request.url.path == "/" and (door := self._admitting(request)):
            return door.sessions.start(RedirectResponse("/", 303))
        found = await self._who(request)
        if found is None:
            return self._unknown(request)
        door, who = found
        origins.check(request.headers, door.origins)
        origins.check_page(request.headers, who)
        self._check_scope(who, routes, request.method)
        self._check_rate(door, who)
        self._check_pages(request, who)
        request.scope[WHO] = who
        self._passes.remember(request.scope, who)
        return door.express.get((request.method, request.scope["path"]), door.app)

    def _door_of(self, request: Request) -> Door:
        """Give the workspace of an open route: the one that signed the link, where there is a link."""
        _, _, token = request.scope["path"].partition(LINKS)
        signed = [d for d in self._doors if doors.link(d.ledger, token) is not None] if token else []
        return signed[0] if signed else self._doors[0]

    def _admitting(self, request: Request) -> Door | None:
        admitting = [d for d in self._doors if d.sessions.admits(request)]
        return admitting[0] if admitting else None

    def _check_host(self, headers: Headers) -> None:
        given = headers.getlist("host")
        if len(given) != 1 or origins.host_name(given[0]) not in self._hosts:
            raise Refusal(403, "host", "This service does not answer to that host. Add it to [server] hosts.")

    @staticmethod
    def _check_scope(who: Who, routes: Sequence[Route], method: str) -> None:
        asked = [r for r in routes if r.method == method] or routes
        needed = {r.scope for r in asked}
        if not all(who.may(r.scope) or (r.public and WRITE in who.scopes) for r in asked):
            raise Refusal(403, "scope", f"This key may not do that; it needs the scope {' or '.join(sorted(needed))}.")

    def _check_rate(self, door: Door, who: Who) -> None:
        wait = self._limits.callers.take(f"{self._doors.index(door)}\n{who.name}", rate=_rate(door, who))
        if wait:
            raise Refusal(429, "rate", f"More requests than this key may make; wait {wait} s.", Retry_After=str(wait))

    def _check_pages(self, request: Request, who: Who) -> None:
        """Let one visitor of a page say only so much: the key is everybody's."""
        if WRITE in who.scopes:
            wait = self._limits.pages.take(f"{who.name}\n{origins.address(request, proxied=self._proxied)}")
            if wait:
                raise Refusal(429, "rate", f"More than one page may say; wait {wait} s.", Retry_After=str(wait))

    async def _who(self, request: Request) -> tuple[Door, Who] | None:
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        if kind:
            return await self._of_key(request, key.strip()) if kind.lower() == "bearer" else None
        session = request.cookies.get(COOKIE, "")
        known = [(d, csrf) for d in self._doors if (csrf := d.sessions.csrf(session)) is not None]
        if not known:
            return None
        door, csrf = known[0]
        who = Who(name="page", scopes=SCOPES, csrf=csrf)
        self._check_session(request, who)
        return door, who

    async def _of_key(self, request: Request, key: str) -> tuple[Door, Who] | None:
        """Give the workspace of a key; an address that fails too often is asked to wait before a look-up is made."""
        found = self._callers.remembered(key)
        if found is None:
            address = origins.address(request, proxied=self._proxied)
            if self._limits.failures.empty(address) and not self._callers.seen(key):
                raise Refusal(429, "rate", "Too many wrong keys came from this address.", Retry_After="1")
            found = await to_thread.run_sync(self._callers.find, key)
            if found is None:
                self._limits.failures.take(address)
                return None
        return self._doors[found.number], _caller(found)

    def _check_session(self, request: Request, who: Who) -> None:
        """Refuse an unsafe request that a foreign page may have made with the session's cookie.

        A form carries its token in the body, which is checked where the body is read.
        """
        if request.method in SAFE:
            return
        if "origin" not in request.headers:
            raise Refusal(403, "origin", "A request with a session names its origin.")
        is_form = any(r.form for pattern, r in self._routes if pattern.match(request.scope["path"]))
        if not is_form and not Sessions.same(request.headers.get("x-csrf-token", ""), who.csrf):
            raise Refusal(403, "csrf", "A request with a session sends the page's token as X-CSRF-Token.")

    @staticmethod
    def _unknown(request: Request) -> Response:
        challenge = {"www-authenticate": "Bearer"}
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(WELCOME, 401, headers=challenge)
        return problem(401, "key", "Send an API key: Authorization: Bearer nbk_...", headers=challenge)


def _caller(found: Found) -> Who:
    info = found.info
    return Who(name=info.key_id, scopes=frozenset(info.scopes), rate=info.rate, kinds=info.kinds, origins=info.origins)


def _rate(door: Door, who: Who) -> float:
    return door.ledger.config.server.rate if who.rate is None else who.rate


def _with_headers(send: Send, more: list[tuple[bytes, bytes]]) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = message.get("headers", ())
            names = {name for name, _ in given}
            message["headers"] = [*given, *(pair for pair in (*_RAW, *more) if pair[0] not in names)]
        await send(message)

    return sending
