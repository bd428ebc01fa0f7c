"""Decide for one subject, now: the gates, the draw and the log are one transaction; nothing unlogged is done."""

from __future__ import annotations

import logging
import sqlite3
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from nextbest.errors import LedgerError, UnknownNameError, UsageError, unknown
from nextbest.policies.arms import ARMS
from nextbest.policies.columns import DEAL, asked_for, condition, recipe_of, with_missing_columns
from nextbest.policies.run import Ranked, Run, Settled, actions_of, prepare, ranked, settle
from nextbest.types import NO_ACTION, Candidate, Decision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from nextbest.ledger import Ledger
    from nextbest.types import Mode, Play

AUDIENCE = "audience"
UNLOGGED = "The decision could not be logged, so nothing is done."
UNREADABLE = "The ledger could not be read, so nothing is done."
_log = logging.getLogger("nextbest")


def decide_one(
    ledger: Ledger,
    play: Play,
    subject_id: str,
    *,
    context: Mapping[str, Any] | None = None,
    candidates: Sequence[str] | None = None,
    mode: Mode = "live",
    salt: str | None = None,
    request_id: str = "",
) -> Decision:
    """Choose one action for one subject from published predictions, and log it durably before answering.

    `context` adds what is known only now; it cannot replace a published prediction. `candidates` narrows the actions.
    Always gives a decision: what cannot be read or logged ends in `none`, marked degraded. Raises `UsageError` only
    for a call that is off (no subject, an action that the play does not have).
    """
    started = time.perf_counter_ns()
    offered = _offered(play, subject_id, candidates)
    reply = _nothing(play, subject_id, ledger.clock(), UNREADABLE, mode)
    try:
        subject = _canonical(ledger, subject_id)
        table, features, versions = _known(ledger, play, subject, context or {})
        run = prepare(ledger, play, now=reply.ts, salt=salt, quiet=True, offered=offered)
        known = ranked(run, table)
        inside = _is_meant(play, features) and bool(condition(play.audience, table, f"Play '{play.name}', audience")[0])
    except (LedgerError, sqlite3.Error) as error:
        _log.error("decide %s: %s", play.name, type(error).__name__)
        return reply
    reply = replace(reply, subject_id=subject, request_id=request_id, context=dict(context or {}), features=features)
    reply = replace(reply, model_versions=versions)

    def gates_and_log(connection: sqlite3.Connection) -> Decision:
        settled = settle(ledger, connection, run if inside else _outside(run), known)
        made = replace(_decision(run, known, settled, reply), latency_us=_microseconds(started))
        made = made if inside else _ruled_out_by_audience(made)
        if mode != "replay":
            from nextbest.ledger import decisions

            decisions.log(connection, ledger, [made])
        return made

    try:
        return ledger.journal.write(gates_and_log)
    except (LedgerError, sqlite3.Error, OSError) as error:
        _log.error("decide %s: not logged: %s", play.name, type(error).__name__)
        return _nothing(play, subject, reply.ts, UNLOGGED, mode)


def _offered(play: Play, subject_id: str, candidates: Sequence[str] | None) -> frozenset[str] | None:
    if not subject_id:
        raise UsageError("A decision needs a subject_id; got an empty one.")
    ids = [a.id for a in actions_of(play)]
    for name in candidates or ():
        if name not in ids:
            raise unknown(f"action of play '{play.name}'", name, ids)
    return None if candidates is None else frozenset(candidates)


def _canonical(ledger: Ledger, subject_id: str) -> str:
    """Give the id that merges lead to; someone unknown keeps the id they came with."""
    from nextbest.ledger import identities

    try:
        return identities.resolve(ledger, subject_id)
    except UnknownNameError:
        return subject_id


def _known(
    ledger: Ledger, play: Play, subject: str, context: Mapping[str, Any]
) -> tuple[pa.Table, dict[str, float | None], dict[str, str]]:
    """Give the subject's row, its features as served, and the versions of the models behind them."""
    from nextbest.ledger import published

    with ledger.journal.read() as connection:
        features, versions = published.published(connection, subject)
    missing = asked_for(play) - recipe_of(ledger.config.recipes).keys() - set(features) - set(context)
    if missing:
        features = {**_computed(ledger, subject, missing), **features}
    row = {"subject_id": subject, **{k: v for k, v in context.items() if _scalar(v)}, **features}
    row["subject_id"] = subject
    table = pa.table({name: _column(value) for name, value in row.items()})
    return with_missing_columns(table, play), dict(features), dict(versions)


def _is_meant(play: Play, features: Mapping[str, Any]) -> bool:
    """Tell whether the play is about such subjects: what is published of a deal says that it is one."""
    return (features.get("subject_type") == DEAL) == (play.subject_type == DEAL)


def _computed(ledger: Ledger, subject: str, missing: set[str]) -> dict[str, float | None]:
    """Give the subject's features as of now; nothing when they cannot be computed (missing, not an error)."""
    from nextbest.features.build import vector
    from nextbest.features.sets import feature_set

    try:
        features = feature_set(ledger)
        if missing.isdisjoint(f.name for f in features):
            return {}
        return vector(ledger, features, subject, as_of=ledger.clock())
    except LedgerError as error:
        _log.error("decide: features are missing: %s", type(error).__name__)
        return {}


def _scalar(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


def _column(value: Any) -> pa.Array:  # noqa: ANN401 (a scalar of JSON)
    return pa.array([float(value)] if isinstance(value, int) and not isinstance(value, bool) else [value])


def _outside(run: Run) -> Run:
    return replace(run, moment=replace(run.moment, offered=frozenset()))


def _decision(run: Run, known: Ranked, settled: Settled, reply: Decision) -> Decision:
    """Give the reply with what was chosen and considered."""
    choice, j = settled.choice, int(settled.choice.action[0])
    removed = settled.removals.names(settled.removals.codes).to_pylist()
    considered = tuple(
        Candidate(
            action_id=a.id,
            removed_by=removed[i],
            response_probability=float(known.ranking.response[0, i]),
            expected_value=float(known.ranking.worth[0, i]),
            cost=a.cost,
            choice_probability=float(choice.probability[0, i]),
        )
        for i, a in enumerate(run.actions)
    )
    return replace(
        reply,
        action_id=run.actions[j].id,
        choice_probability=float(choice.probability[0, j]),
        candidates=considered,
        arm=ARMS[int(choice.arms[0])],
        seed=choice.seed,
        consent_version=settled.consent_version,
        policy_version=run.version,
        model_versions={**reply.model_versions, "policy": run.version},
        reason=settled.reasons[0].as_py(),
        degraded=bool(choice.degraded[0]),
    )


def _ruled_out_by_audience(made: Decision) -> Decision:
    considered = tuple(c if c.action_id == NO_ACTION else replace(c, removed_by=AUDIENCE) for c in made.candidates)
    reason = f"Nothing: the subject is not in the audience of '{made.play}'."
    return replace(made, candidates=considered, reason=reason)


def _nothing(play: Play, subject_id: str, now: datetime, why: str, mode: Mode) -> Decision:
    """Give the answer when the ledger fails: nothing is done, and the answer says that it is not on record."""
    from nextbest.ledger.workspace import new_id

    return Decision(
        decision_id=new_id("d"),
        play=play.name,
        subject_id=subject_id,
        ts=now,
        action_id=NO_ACTION,
        choice_probability=None,
        candidates=(Candidate(action_id=NO_ACTION),),
        mode=mode,
        context={"logged": False},
        reason=why,
        degraded=True,
    )


def _microseconds(started: int) -> int:
    return (time.perf_counter_ns() - started) // 1000
