"""Every route as data: the application, the gate, the API document, the sweep test and the docs read this table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from nextbest.serve import answers, bodies, express, pages, wishes

Scope = Literal["open", "decide", "ingest", "read", "admin"]

JSON, FORM, PARTS = "application/json", "application/x-www-form-urlencoded", "multipart/form-data"
SMALL = 4 * 1024
DECIDE = 256 * 1024
EVENTS = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route: who may call it, what goes in, what comes out. `limit`: bytes of body. `kept`: honours a key.

    `form`: a form of the page is taken, and answered with a redirect. `public`: keys of web pages may use it, too.
    `raw`: the call is given the service once, and gives an ASGI application that answers by itself.
    """

    method: Literal["GET", "POST"]
    path: str
    scope: Scope
    call: Callable[..., Any]
    about: str
    reply: type[bodies.Reply] | str
    body: type[bodies.Body] | None = None
    limit: int = 0
    media: tuple[str, ...] = (JSON,)
    form: bool = False
    public: bool = False
    kept: bool = False
    missing: bool = False
    parameter: str = ""
    raw: bool = False


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/decide",
        raw=True,
        scope="decide",
        call=express.decide,
        about="Choose the best action for one subject now, and log it before answering.",
        body=bodies.DecideBody,
        reply=bodies.DecideReply,
        limit=DECIDE,
        kept=True,
        missing=True,
    ),
    Route(
        method="POST",
        path="/v1/events",
        scope="ingest",
        public=True,
        call=answers.events,
        about="Store live events; one receipt per event, durable before the answer.",
        body=bodies.EventsBody,
        reply=bodies.EventsReply,
        limit=EVENTS,
        kept=True,
    ),
    Route(
        method="POST",
        path="/v1/outcomes",
        scope="ingest",
        public=True,
        call=answers.outcomes,
        about="Store what came of decisions.",
        body=bodies.OutcomesBody,
        reply=bodies.OutcomesReply,
        limit=EVENTS,
        kept=True,
    ),
    Route(
        method="POST",
        path="/v1/consent",
        scope="ingest",
        call=answers.consent,
        about="Record a yes or a no with its proof; it binds the next decision.",
        body=bodies.ConsentBody,
        reply=bodies.ConsentReply,
        limit=DECIDE,
        kept=True,
    ),
    Route(
        method="POST",
        path="/v1/predict",
        scope="read",
        call=answers.predict,
        about="Give the published predictions of up to 100 subjects.",
        body=bodies.PredictBody,
        reply=bodies.PredictReply,
        limit=DECIDE,
    ),
    Route(
        method="POST",
        path="/v1/erase",
        scope="admin",
        call=answers.erase,
        about="Remove a person from everything the workspace keeps, and give a receipt.",
        body=bodies.EraseBody,
        reply=bodies.EraseReply,
        limit=DECIDE,
        kept=True,
        missing=True,
    ),
    Route(
        method="POST",
        path="/feedback",
        scope="decide",
        call=answers.feedback,
        about="Approve, change or reject a decision; a form of the page is answered with 303.",
        body=bodies.FeedbackBody,
        reply=bodies.FeedbackReply,
        limit=SMALL,
        media=(JSON, FORM),
        form=True,
        kept=True,
        missing=True,
    ),
    Route(
        method="POST",
        path="/v1/identify",
        scope="ingest",
        call=wishes.identify,
        about="Join an anonymous visitor to a person; decisions and outcomes of both are then of one subject.",
        body=wishes.IdentifyBody,
        reply=wishes.IdentifyReply,
        limit=SMALL,
        kept=True,
    ),
    Route(
        method="POST",
        path="/v1/stop",
        scope="admin",
        call=wishes.stop,
        about="Stop a play, a channel, an action or everything, within a second.",
        body=wishes.SwitchBody,
        reply=wishes.SwitchReply,
        limit=SMALL,
        kept=True,
        missing=True,
    ),
    Route(
        method="POST",
        path="/v1/start",
        scope="admin",
        call=wishes.start,
        about="Lift the stop of exactly this combination; other stops stay in force.",
        body=wishes.SwitchBody,
        reply=wishes.SwitchReply,
        limit=SMALL,
        kept=True,
        missing=True,
    ),
    Route(
        method="GET",
        path="/v1/stops",
        scope="admin",
        call=wishes.stops,
        about="Give the stops in force.",
        reply=wishes.StopsReply,
    ),
    Route(
        method="GET",
        path="/u/{token}",
        scope="open",
        call=wishes.ask_to_unsubscribe,
        about="Show the page of an unsubscribe link; it changes nothing.",
        reply="text/html",
        missing=True,
        parameter="token",
    ),
    Route(
        method="POST",
        path="/u/{token}",
        scope="open",
        call=wishes.unsubscribe,
        about="Unsubscribe with one click (RFC 8058): the link says who; needs no key and may be repeated.",
        body=wishes.UnsubscribeBody,
        reply="text/html",
        limit=SMALL,
        media=(FORM, PARTS),
        missing=True,
        parameter="token",
    ),
    Route(
        method="GET",
        path="/v1/subjects/{id}",
        scope="read",
        call=answers.subject,
        about="Give what the workspace knows about a subject, by id, e-mail or phone.",
        reply=bodies.SubjectReply,
        missing=True,
        parameter="id",
    ),
    Route(
        method="GET",
        path="/v1/decisions/{id}",
        scope="read",
        call=answers.decision,
        about="Give one row of the decision log, whole.",
        reply=bodies.DecisionReply,
        missing=True,
        parameter="id",
    ),
    Route(
        method="GET",
        path="/live",
        scope="open",
        call=answers.live,
        about="Answer while the process runs; needs no key.",
        reply=bodies.LiveReply,
    ),
    Route(
        method="GET",
        path="/ready",
        scope="read",
        call=answers.ready,
        about="Say whether the journal and the models can be trusted; 503 until they can.",
        reply=bodies.ReadyReply,
    ),
    Route(
        method="GET",
        path="/metrics",
        scope="read",
        call=answers.figures,
        about="Give counters and latencies in the text format of Prometheus.",
        reply="text/plain",
    ),
    Route(
        method="GET",
        path="/openapi.json",
        scope="read",
        call=answers.document,
        about="Give this API as an OpenAPI 3.1 document.",
        reply="application/json",
    ),
    Route(
        method="GET",
        path="/",
        scope="read",
        call=pages.today,
        about="Show today's list.",
        reply="text/html",
    ),
    Route(
        method="GET",
        path="/static/{name}",
        scope="open",
        call=pages.static,
        about="Give a file of the page.",
        reply="text/css image/svg+xml",
        missing=True,
        parameter="name",
    ),
)
