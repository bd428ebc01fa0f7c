"""Stops, visitors with a name, and links that object: what is asked, and how it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, field
from starlette.responses import HTMLResponse

from nextbest import doors, operations
from nextbest.serve import pages
from nextbest.serve.bodies import Body, Channel, Id, Name, Reply

if TYPE_CHECKING:
    from nextbest.serve.service import Asked, Service


class SwitchBody(Body, frozen=True, kw_only=True):
    """Stop or start a play, a channel, an action, any combination ('*' for all), and say why."""

    why: Annotated[str, Meta(min_length=1, max_length=2000)]
    play: Name = "*"
    channel: Channel = "*"
    action: Name = "*"


class IdentifyBody(Body, frozen=True, kw_only=True):
    """Say that an anonymous visitor is this person: an id, an e-mail or a phone."""

    anonymous_id: Id
    subject_id: Id


class UnsubscribeBody(Body, frozen=True, kw_only=True):
    """What RFC 8058 makes a mail program post."""

    said: Literal["One-Click"] = field(name="List-Unsubscribe")


class SwitchReply(Reply, frozen=True, kw_only=True):
    """Whether the combination is stopped now."""

    play: str
    channel: str
    action: str
    stopped: bool


class StopReply(Reply, frozen=True, kw_only=True):
    """One stop in force; a stop of the file `stop` has no moment."""

    play: str
    channel: str
    action: str
    why: str
    since: str


class StopsReply(Reply, frozen=True, kw_only=True):
    """All stops in force."""

    stops: list[StopReply]


class IdentifyReply(Reply, frozen=True, kw_only=True):
    """The id of the merge, by which it can be undone."""

    merge_id: str


def stop(service: Service, asked: Asked) -> SwitchReply:
    """Stop a play, a channel or an action; binds the next decision."""
    return _switch(service, asked, stopped=True)


def start(service: Service, asked: Asked) -> SwitchReply:
    """Lift the stop of exactly this combination."""
    return _switch(service, asked, stopped=False)


def _switch(service: Service, asked: Asked, *, stopped: bool) -> SwitchReply:
    body: SwitchBody = asked.body
    scope = {"play": body.play, "channel": body.channel, "action": body.action}
    reply = SwitchReply(**scope, stopped=stopped)
    turn = operations.stop if stopped else operations.start
    turn(service.ledger, **scope, why=body.why, also=asked.once(lambda _: reply))
    return reply


def stops(service: Service, asked: Asked) -> StopsReply:
    """Give the stops in force."""
    del asked
    return StopsReply(stops=[StopReply(**one) for one in operations.stops(service.ledger)])


def identify(service: Service, asked: Asked) -> IdentifyReply:
    """Join an anonymous id to a person; earlier decisions are found under the person, the log stays as it is."""
    body: IdentifyBody = asked.body
    merge_id = doors.identify(
        service.ledger,
        body.anonymous_id,
        body.subject_id,
        also=asked.once(lambda made: IdentifyReply(merge_id=made)),
    )
    return IdentifyReply(merge_id=merge_id)


def ask_to_unsubscribe(service: Service, asked: Asked) -> HTMLResponse:
    """Show a page with a button. Looking at it changes nothing: mail scanners follow links."""
    found = doors.link(service.ledger, asked.parameter)
    if found is None:
        return pages.unsubscribe(service, state="unknown", status=404)
    return pages.unsubscribe(service, state="ask", channel=found.channel)


def unsubscribe(service: Service, asked: Asked) -> HTMLResponse:
    """Record the no of the link, durable before this answers; doing it twice is doing it once."""
    if not doors.follow(service.ledger, asked.parameter):
        return pages.unsubscribe(service, state="unknown", status=404)
    return pages.unsubscribe(service, state="done")
