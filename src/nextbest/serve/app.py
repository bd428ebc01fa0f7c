"""The ASGI application: the table of routes behind the gate. Work that blocks runs in threads, so commits group."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import anyio
import msgspec
from anyio import to_thread
from starlette.applications import Starlette
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route as StarletteRoute

from nextbest import doors
from nextbest.errors import NextbestError
from nextbest.serve import reading
from nextbest.serve.bodies import EraseBody, EraseReply, Reply
from nextbest.serve.express import Express
from nextbest.serve.gate import WHO, Door, Gate
from nextbest.serve.limits import FAILURES_S, PAGE, PAGE_S, Buckets, Limits
from nextbest.serve.metrics import Metrics
from nextbest.serve.origins import public_host
from nextbest.serve.public import subjects
from nextbest.serve.replies import JSON, failed, problem, refused
from nextbest.serve.routes import ROUTES, Route
from nextbest.serve.service import Asked, Refusal, Service
from nextbest.serve.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from nextbest.doors import Also
    from nextbest.ledger import Ledger

THREADS = 64
WAITING = 512  # more than this would wait longer than any client does
_KEY = re.compile(r"[!-~]{1,255}")


def create_app(
    ledger: Ledger,
    *others: Ledger,
    token: str | Sequence[str | None] | None = None,
    hosts: Collection[str] = (),
    secure: bool = False,
    workers: int = 1,
    shared: Path | None = None,
) -> ASGIApp:
    """Give the application that serves a workspace, or several: the key or the session says which one is meant.

    `token` opens the page (of each workspace its own, in their order), `hosts` adds to `[server] hosts`; of several
    `workers` each allows its share of the rates, and they add up what they count in the folder `shared`.
    """
    ledgers = (ledger, *others)
    tokens = [token] if token is None or isinstance(token, str) else list(token)
    tokens += [None] * (len(ledgers) - len(tokens))
    made = [_door(ledgers, number, tokens[number], shared, secure=secure) for number in range(len(ledgers))]
    server = ledger.config.server
    limits = Limits(
        callers=Buckets(server.rate, workers=workers),
        failures=Buckets(server.failures, seconds=FAILURES_S, workers=workers),
        pages=Buckets(PAGE, seconds=PAGE_S, workers=workers),
    )
    known = {name for one in ledgers for name in (*one.config.server.hosts, *public_host(one.config.server.public_url))}
    return Gate(made, routes=ROUTES, hosts={*known, *hosts}, limits=limits, proxied=secure)


def _own(shared: Path | None, number: int) -> Path | None:
    """Give the folder in which the workers of one workspace add up."""
    if shared is None:
        return None
    folder = shared / str(number)
    folder.mkdir(exist_ok=True)
    return folder


def _door(ledgers: Sequence[Ledger], number: int, token: str | None, shared: Path | None, *, secure: bool) -> Door:
    ledger = ledgers[number]
    others = [*ledgers[:number], *ledgers[number + 1 :]]
    metrics = Metrics(shared=_own(shared, number))
    service = Service(ledger=ledger, others=others, routes=ROUTES, metrics=metrics)
    desk = _Desk(service)
    express: dict[tuple[str, str], ASGIApp] = {(r.method, r.path): r.call(service) for r in ROUTES if r.raw}
    ends = [(r, express.get((r.method, r.path)) or desk.endpoint(r)) for r in ROUTES]
    routes = [StarletteRoute(r.path, end, methods=[r.method], name=r.call.__name__) for r, end in ends]
    inner = Starlette(
        routes=routes,
        exception_handlers={404: _not_here, 405: _not_here, Exception: _broken},
        lifespan=_warmed([app for app in express.values() if isinstance(app, Express)]),
    )
    inner.router.redirect_slashes = False
    sessions = Sessions(token=token, clock=ledger.clock, secure=secure)
    origins = frozenset(ledger.config.server.origins)
    return Door(ledger=ledger, app=inner, sessions=sessions, origins=origins, express=express)


def _warmed(deciding: Sequence[Express]) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """Give what makes the engines ready before the first request is taken."""

    @asynccontextmanager
    async def live(app: Starlette) -> AsyncIterator[None]:
        del app
        for one in deciding:
            await one.warm()
        yield

    return live


class _Desk:
    """Takes requests that have passed the gate, one after another per idempotency key."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._threads = anyio.CapacityLimiter(THREADS)
        self._locks: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()

    def endpoint(self, route: Route) -> Callable[[Request], Awaitable[Response]]:
        """Give the function that answers a route."""

        async def answer(request: Request) -> Response:
            status = 500
            try:
                response = await self._answered(request, route)
                status = response.status_code
            finally:
                self._service.metrics.request(route.method, route.path, status)
            return response

        return answer

    async def _answered(self, request: Request, route: Route) -> Response:
        try:
            return await self._answer(request, route)
        except Refusal as refusal:
            return refused(refusal)
        except NextbestError as error:
            return failed(error)

    async def _answer(self, request: Request, route: Route) -> Response:
        if self._threads.statistics().tasks_waiting > WAITING:
            raise Refusal(429, "busy", "Too many requests wait.", Retry_After="1")
        who = request.scope[WHO]
        given = request.path_params.get(route.parameter, "")
        raw, body = b"", None
        media = reading.media_type(request)
        if route.body is not None:
            raw = await reading.read(request, route)
            body = reading.parse(raw, route, request.headers.get("content-type", ""))
        asked = Asked(who=who, body=body, parameter=given, query=request.query_params)
        is_form = route.form and media == reading.FORM
        if route.form and who.csrf:
            self._check_csrf(request, asked)
        key = request.headers.get("idempotency-key") if route.kept and not is_form else None
        await self._heed(request, asked)
        reply = await self._run(route, asked) if key is None else await self._once(route, asked, key, raw)
        return RedirectResponse(f"/#{body.decision_id}", 303) if is_form and body is not None else reply

    async def _heed(self, request: Request, asked: Asked) -> None:
        """Take `Sec-GPC: 1` for the word of the subjects; a browser with a session speaks for its operator only."""
        if request.headers.get("sec-gpc") == "1" and not asked.who.csrf and (ids := subjects(asked.body)):
            await to_thread.run_sync(doors.objected, self._service.ledger, ids, limiter=self._threads)

    @staticmethod
    def _check_csrf(request: Request, asked: Asked) -> None:
        given = asked.body.csrf or request.headers.get("x-csrf-token", "")
        if not Sessions.same(given, asked.who.csrf):
            raise Refusal(403, "csrf", "This form is of another session. Load the page again.")

    async def _run(self, route: Route, asked: Asked) -> Response:
        reply = await to_thread.run_sync(route.call, self._service, asked, limiter=self._threads)
        return reply if isinstance(reply, Response) else _json(reply)

    async def _once(self, route: Route, asked: Asked, key: str, raw: bytes) -> Response:
        """Answer a key's first request, and give later ones the same reply."""
        if not _KEY.fullmatch(key):
            raise Refusal(400, "malformed", "An Idempotency-Key is 1 to 255 visible ASCII characters.")
        ledger, name = self._service.ledger, f"{asked.who.name}\n{route.path}\n{key}"
        lock = self._locks.setdefault(name, anyio.Lock())
        async with lock:
            before = await to_thread.run_sync(doors.reply_before, ledger, name, raw, limiter=self._threads)
            if before is not None:
                return _again(before, asked)
            try:
                return await self._run(route, replace(asked, keep=partial(_kept, ledger, name, raw, asked)))
            except doors.Repeated as repeated:  # another process was quicker
                return _again(repeated.reply, asked)


def _kept(ledger: Ledger, name: str, raw: bytes, asked: Asked, word: Callable[[Any], Reply]) -> Also:
    """Give what keeps a reply in the transaction of its effect; that of an erasure is kept without the person's id."""

    def worded(result: object) -> bytes:
        reply = word(result)
        return msgspec.json.encode(msgspec.structs.replace(reply, subject_id="") if erased else reply)

    erased = isinstance(asked.body, EraseBody)
    about = None if erased else getattr(asked.body, "subject_id", None)
    return doors.once(ledger, name, raw, worded, subject_id=about)


def _again(kept: bytes, asked: Asked) -> Response:
    if isinstance(asked.body, EraseBody):
        receipt = msgspec.json.decode(kept, type=EraseReply)
        return _json(msgspec.structs.replace(receipt, subject_id=asked.body.subject_id))
    return Response(kept, media_type=JSON)


def _json(reply: Reply) -> Response:
    return Response(msgspec.json.encode(reply), media_type=JSON)


async def _not_here(request: Request, error: Exception) -> Response:
    """Answer for a path or method that no route has."""
    del request
    status = getattr(error, "status_code", 404)
    said = "There is nothing here." if status == 404 else "This path does not take that method."
    return problem(status, "not_found" if status == 404 else "method", said, headers=getattr(error, "headers", None))


async def _broken(request: Request, error: Exception) -> Response:
    """Answer for a fault of the program, without saying more than its kind."""
    del request
    return problem(500, "fault", f"Something is broken here ({type(error).__name__}). Nothing more is known outside.")
