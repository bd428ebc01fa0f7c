"""One short function per route of the API: a checked request in, a reply out. They run in threads and may block."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import PlainTextResponse, Response

from nextbest import deciding, operations, verbs
from nextbest.serve import bodies, public
from nextbest.serve.openapi import describe
from nextbest.types import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextbest.serve.service import Asked, Service

_log = logging.getLogger("nextbest")
_SOURCE = "api"


def events(service: Service, asked: Asked) -> bodies.EventsReply:
    """Store events; give a receipt for each."""
    source = public.check_events(asked) or _SOURCE
    also = asked.once(_received)
    return _received(verbs.ingest(service.ledger, asked.body.events, source=source, also=also))


def _received(receipts: Sequence[Any]) -> bodies.EventsReply:
    states = [r.status for r in receipts]
    return bodies.EventsReply(
        stored=states.count("stored"),
        duplicates=states.count("duplicate"),
        rejected=states.count("rejected"),
        receipts=[bodies.ReceiptReply(message_id=r.message_id, status=r.status, why=r.why) for r in receipts],
    )


def outcomes(service: Service, asked: Asked) -> bodies.OutcomesReply:
    """Store outcomes; give how many were new."""
    source, now = public.check_outcomes(service, asked), service.ledger.clock()
    rows = [
        Outcome(
            outcome_id=o.outcome_id,
            subject_id=o.subject_id,
            ts=now if o.ts is None else o.ts,
            name=o.name,
            value=o.value,
            decision_id=o.decision_id,
            source=source or o.source or _SOURCE,
        )
        for o in asked.body.outcomes
    ]

    def told(new: int) -> bodies.OutcomesReply:
        return bodies.OutcomesReply(received=len(rows), new=new)

    return told(verbs.record(service.ledger, rows, also=asked.once(told)))


def consent(service: Service, asked: Asked) -> bodies.ConsentReply:
    """Record consent; give the version from which it binds."""
    said = msgspec.structs.asdict(asked.body)
    subject_id = said.pop("subject_id")
    also = asked.once(lambda version: bodies.ConsentReply(version=version))
    return bodies.ConsentReply(version=operations.consent(service.ledger, subject_id, **said, also=also))


def predict(service: Service, asked: Asked) -> bodies.PredictReply:
    """Give the published predictions of each asked-for subject."""
    found = [(s, *operations.predictions(service.ledger, s)) for s in asked.body.subject_ids]
    return bodies.PredictReply(
        subjects=[
            bodies.SubjectPredictions(subject_id=s, predictions=values, model_versions=versions)
            for s, values, versions in found
        ]
    )


def erase(service: Service, asked: Asked) -> bodies.EraseReply:
    """Erase a person; give the receipt."""
    also = asked.once(_erased)
    return _erased(verbs.erase(service.ledger, asked.body.subject_id, dry_run=asked.body.dry_run, also=also))


def _erased(done: Any) -> bodies.EraseReply:  # noqa: ANN401 (the receipt of the verb)
    return bodies.EraseReply(
        subject_id=done.subject_id,
        removed=dict(done.removed),
        models_marked=list(done.models_marked),
        receipt_id=done.receipt_id,
        dry_run=done.dry_run,
        notes=list(done.notes),
    )


def feedback(service: Service, asked: Asked) -> bodies.FeedbackReply:
    """Store a judgement, in the name of the key or session that gave it."""
    body: bodies.FeedbackBody = asked.body
    changed = body.action_id if body.verdict == "change" else None
    given = operations.feedback(
        service.ledger,
        body.decision_id,
        verdict=body.verdict,
        by=asked.who.name,
        action_id=changed,
        also=asked.once(lambda made: bodies.FeedbackReply(feedback_id=made)),
    )
    return bodies.FeedbackReply(feedback_id=given)


def subject(service: Service, asked: Asked) -> bodies.SubjectReply:
    """Give what is known about a subject."""
    return msgspec.convert(_plain(operations.subject(service.ledger, asked.parameter)), bodies.SubjectReply)


def decision(service: Service, asked: Asked) -> bodies.DecisionReply:
    """Give one row of the decision log, and why it came about."""
    row = _plain(operations.decision(service.ledger, asked.parameter))
    sentences, details = deciding.explained(service.ledger, asked.parameter)
    why = {"sentences": list(sentences), "details": dict(details)}
    return msgspec.convert({**row, "explanation": why}, bodies.DecisionReply)


def _plain(value: Any) -> dict[str, Any]:  # noqa: ANN401 (a dataclass of any room)
    return asdict(value)


def live(service: Service, asked: Asked) -> bodies.LiveReply:
    """Say that the process answers."""
    del service, asked
    return bodies.LiveReply(live=True)


def ready(service: Service, asked: Asked) -> Response:
    """Say whether the workspace can be trusted now; 503 when not."""
    del asked
    why = operations.not_ready(service.ledger)
    if not why and any(operations.not_ready(other) for other in service.others):
        why = ("Another workspace of this server is not ready.",)
    if why:
        reply = bodies.ReadyReply(ready=False, why=list(why))
    else:
        warnings = list(operations.warnings(service.ledger))
        reply = bodies.ReadyReply(ready=True, warnings=warnings or msgspec.UNSET)
    return Response(msgspec.json.encode(reply), 503 if why else 200, media_type="application/json")


def figures(service: Service, asked: Asked) -> Response:
    """Give the counters as text."""
    del asked
    return PlainTextResponse(service.metrics.text(operations.gauges(service.ledger)))


def document(service: Service, asked: Asked) -> Response:
    """Give the API as an OpenAPI document."""
    del asked
    return Response(msgspec.json.encode(describe(service.routes)), media_type="application/json")
