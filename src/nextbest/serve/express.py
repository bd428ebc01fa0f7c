"""`POST /v1/decide` without the framework: parsed and ranked in the event loop, written in groups, answered after.

This saves most of the time of a small decision. What must not be lost stands before and behind it: the gate, and the
engine, which reads permission inside the transaction that logs.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import sqlite3
import threading
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import msgspec
from anyio import to_thread

from nextbest import deciding, doors
from nextbest.errors import ConflictError, NextbestError, UnknownNameError, UsageError
from nextbest.serve import bodies, told
from nextbest.serve.batcher import Batcher
from nextbest.serve.gate import WHO
from nextbest.serve.replies import JSON, failed, refused
from nextbest.serve.service import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from concurrent.futures import Future

    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from nextbest.serve.service import Service, Who

PATH = "/v1/decide"
LIMIT = 256 * 1024
SLOW_S = 0.01  # ranking that needs more work than this holds everybody else up
PROOF = 3  # cheap ones in a row, before a play is ranked in the loop
RANDOM = 12  # bytes of a request's id
KEY = re.compile(r"[!-~]{1,255}")
JSON_MEDIA = JSON.encode()
JSON_HEADER = (b"content-type", JSON_MEDIA)
_log = logging.getLogger("nextbest")
_decoder = msgspec.json.Decoder(bodies.DecideBody)
_FAULTS = (NextbestError, sqlite3.Error, ArithmeticError, LookupError, OSError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What of the headers counts."""

    key: str | None = None
    gpc: bool = False


class Ids:
    """Random ids of requests; the system is asked for many at a time."""

    def __init__(self) -> None:
        self._left: list[str] = []

    def __call__(self) -> str:
        """Give a new one."""
        if not self._left:
            text = secrets.token_bytes(256 * RANDOM).hex()
            self._left = [text[i : i + 2 * RANDOM] for i in range(0, len(text), 2 * RANDOM)]
        return self._left.pop()


def decide(service: Service) -> Express:
    """Give what answers for a workspace."""
    return Express(service)


class Express:
    """Answers for one workspace; the requests of one event loop share their commits."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._engine = deciding.engine(service.ledger)
        service.metrics.tally = self._engine.tally
        self._cheap: Counter[str] = Counter()
        self._ids = Ids()
        self._batchers: WeakKeyDictionary[asyncio.AbstractEventLoop, Batcher[Any]] = WeakKeyDictionary()

    async def warm(self) -> None:
        """Make the engine ready, before the first request."""
        await to_thread.run_sync(deciding.warm, self._service.ledger, self._engine)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request that has passed the gate."""
        status = 500
        try:
            answer = await self._answer(scope, receive)
            status = 200 if isinstance(answer, bytes) else answer.status_code
        finally:
            self._service.metrics.request("POST", PATH, status)
        if isinstance(answer, bytes):
            length = (b"content-length", str(len(answer)).encode())
            await send({"type": "http.response.start", "status": 200, "headers": [JSON_HEADER, length]})
            await send({"type": "http.response.body", "body": answer})
        else:
            await answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> bytes | Response:
        """Give the reply as JSON, or the answer that says what went wrong."""
        started = time.perf_counter()
        try:
            head = _head(scope["headers"])
            ask, key, request = self._asked(await _read(receive), head, scope[WHO].name)
            if ask.gpc and self._service.ledger.config.consent.gpc == "record":
                await self._heed(scope[WHO], ask.subject_id)
            found = await self._decided(ask, key, request)
        except Refusal as refusal:
            return refused(refusal)
        except NextbestError as error:
            return failed(error)
        if isinstance(found, bytes):
            return found
        first = found[0]
        seconds = time.perf_counter() - started
        self._service.metrics.decision(arm=first.arm, mode=ask.mode, degraded=first.degraded, seconds=seconds)
        return self._encoded(found)

    def _asked(self, raw: bytes, head: Head, who: str) -> tuple[deciding.Ask, str, str]:
        """Give the request as it is decided, with what its idempotency key and body are known by.

        What was parsed ends here: thousands of numbers that lie about until the commit would push the others' out of
        the cache.
        """
        ask = _ask(_parse(raw), head, self._ids())
        if head.key is None:
            return ask, "", ""
        return ask, *deciding.keyed(self._service.ledger, f"{who}\n{PATH}\n{head.key}", raw)

    async def _decided(self, ask: deciding.Ask, key: str, request: str) -> Sequence[deciding.Made] | bytes:
        """Give the decisions once they are durable, or the reply that an idempotency key had before.

        A fault of a model or a store is no error of the server: the answer is what the fail-safe table says.
        """
        proposal, wanted, begun = None, None, asyncio.get_running_loop().time()
        try:
            proposal = await self._proposed(ask)
            wanted = deciding.Wanted(proposal=proposal, key=key, request=request)
            patience = deciding.patience(proposal)
            due = None if patience is None or key else begun + patience  # a key's reply is its log's, for good
            made: Sequence[deciding.Made] | bytes | ConflictError = await self._batcher().add(wanted, due=due)
        except (UsageError, UnknownNameError):
            raise
        except _FAULTS as error:
            _log.error("decide %s: %s", ask.play, type(error).__name__)
            if wanted is not None:
                wanted.left.append(ask.request_id)
            return (await to_thread.run_sync(deciding.nothing, self._engine, ask, proposal),)
        if isinstance(made, ConflictError):
            raise made
        return made

    async def _proposed(self, ask: deciding.Ask) -> deciding.Proposal:
        """Rank in the loop what has been cheap lately, and in a thread what may have to compute features.

        What counts is the work that a thread did: on a busy machine, waiting looks like work. To ask for that costs
        something, so in the loop only the one after a slow one is measured.
        """
        play = ask.play
        cheap = self._cheap[play]
        if cheap < PROOF:
            proposal, seconds = await to_thread.run_sync(self._timed, ask)
        elif cheap == PROOF:
            proposal, seconds = self._timed(ask)
        else:
            started = time.perf_counter()
            proposal = self._engine.propose(ask)
            if time.perf_counter() - started > SLOW_S:
                self._cheap[play] = PROOF
            return proposal
        self._cheap[play] = cheap + 1 if seconds < SLOW_S else 0
        return proposal

    def _timed(self, ask: deciding.Ask) -> tuple[deciding.Proposal, float]:
        started = time.thread_time()
        proposal = self._engine.propose(ask)
        return proposal, time.thread_time() - started

    def _batcher(self) -> Batcher[Any]:
        loop = asyncio.get_running_loop()
        found = self._batchers.get(loop)
        if found is None:
            found = self._batchers[loop] = Batcher(self._write, late=self._withdraw)
        return found

    def _write(self, gather: Callable[[], Sequence[deciding.Wanted]]) -> Future[list[Any]]:
        return deciding.write(self._service.ledger, self._engine, gather, self._encoded)

    def _withdraw(self, wanted: deciding.Wanted, made: Sequence[deciding.Made] | bytes | ConflictError) -> None:
        """Note in the log what became durable after its caller was told something else."""
        if wanted.key or isinstance(made, bytes | ConflictError) or not made:
            return  # who asks again with the key is told what is in the log

        def note() -> None:
            try:
                deciding.withdraw(self._service.ledger, made)
            except NextbestError as error:
                _log.error("withdraw: %s", type(error).__name__)

        threading.Thread(target=note, name="nextbest-withdraw", daemon=True).start()

    def _encoded(self, made: Sequence[deciding.Made]) -> bytes:
        """Give the reply: the first position, and all of them when there is more than one."""
        return msgspec.json.encode(told.decided(made, token=partial(doors.outcome_token, self._service.ledger)))

    async def _heed(self, who: Who, subject_id: str) -> None:
        """Record what `Sec-GPC: 1` says where that is asked for; this decision keeps to it even if that fails."""
        if who.csrf:  # the browser of an operator speaks for nobody else
            return
        try:
            await to_thread.run_sync(doors.objected, self._service.ledger, (subject_id,))
        except NextbestError as error:
            _log.error("sec-gpc: %s", type(error).__name__)


def _head(headers: Iterable[tuple[bytes, bytes]]) -> Head:
    """Give what counts; names come in small letters, as ASGI promises."""
    media, length, gpc, key = b"", b"", False, None
    for name, value in headers:
        if name == b"content-type":
            media = value
        elif name == b"content-length":
            length = value
        elif name == b"sec-gpc":
            gpc = value.strip() == b"1"
        elif name == b"idempotency-key":
            key = value.decode("latin-1")
    if media != JSON_MEDIA and media.partition(b";")[0].strip().lower() != JSON_MEDIA:
        raise Refusal(415, "media_type", f"Send the body as {JSON}.")
    if key is not None and not KEY.fullmatch(key):
        raise Refusal(400, "malformed", "An Idempotency-Key is 1 to 255 visible ASCII characters.")
    if length.isdigit() and int(length) > LIMIT:
        raise _too_large()
    return Head(key=key, gpc=gpc)


async def _read(receive: Receive) -> bytes:
    message = await receive()
    raw: bytes = message.get("body", b"")
    if message.get("more_body", False):
        gathered = bytearray(raw)
        while message.get("more_body", False) and len(gathered) <= LIMIT:
            message = await receive()
            gathered += message.get("body", b"")
        raw = bytes(gathered)
    if len(raw) > LIMIT:
        raise _too_large()
    return raw


def _too_large() -> Refusal:
    return Refusal(413, "too_large", f"{PATH} takes at most {LIMIT:,} bytes.")


def _parse(raw: bytes) -> bodies.DecideBody:
    """Give the body; the struct allows no depth in which a parser could get lost, and no unknown field."""
    try:
        if not raw.isascii():
            raw.decode("utf-8")
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeError) as error:
        message = str(error) if isinstance(error, msgspec.MsgspecError) else "The body is not valid text."
        raise Refusal(400, "malformed", message) from error


def _ask(body: bodies.DecideBody, head: Head, request_id: str) -> deciding.Ask:
    return deciding.Ask(
        play=body.play,
        subject_id=body.subject_id,
        context=body.context,
        candidates=_candidates(body.candidates),
        count=body.count,
        mode=body.mode,
        chosen=body.chosen,
        deadline_ms=body.deadline_ms,
        request_id=request_id,
        gpc=head.gpc,
    )


def _candidates(
    given: list[str | bodies.OfferBody] | bodies.OffersBody | None,
) -> tuple[deciding.Offer, ...] | deciding.Offers | None:
    if given is None:
        return None
    if isinstance(given, bodies.OffersBody):
        return deciding.table(given.ids, given.names, given.values)
    return tuple(_offer(o) for o in given)


def _offer(given: str | bodies.OfferBody) -> deciding.Offer:
    if isinstance(given, str):
        return deciding.Offer(action_id=given)
    return deciding.Offer(action_id=given.action_id, features=given.features)
