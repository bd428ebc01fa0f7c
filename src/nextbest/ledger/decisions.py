"""The decision log: whole rows, written with their chain links in the transaction that read the permissions.

Single decisions are rows of the journal. A play decided for a list is a segment: `lists`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nextbest.errors import DataError, UnknownNameError
from nextbest.ledger import archive, candidates, catalogue, chain, contacts, described
from nextbest.ledger.identities import cluster
from nextbest.ledger.statements import insert, load
from nextbest.ledger.times import from_micros, to_micros
from nextbest.types import Candidate, Decision

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from nextbest.ledger.workspace import Ledger

_FILE = "decisions.sql"
KIND = archive.DECISION
_LATER = ("position", "action_features")  # columns that a row of the journal has besides
_ENCODE = msgspec.json.Encoder().encode
Row = tuple[Any, ...]  # the columns of `row_decision`, in their order


CANDIDATE = pa.struct(
    {
        "action_id": pa.string(),
        "removed_by": pa.string(),
        "response_probability": pa.float64(),
        "expected_value": pa.float64(),
        "cost": pa.float64(),
        "choice_probability": pa.float64(),
        "spread": pa.float64(),  # null: not on record
    }
)
DECISION_SCHEMA: pa.Schema = pa.schema(
    {
        "decision_id": pa.string(),
        "request_id": pa.string(),
        "play": pa.string(),
        "mode": pa.string(),
        "arm": pa.string(),
        "subject_id": pa.string(),
        "ts": pa.timestamp("us", tz="UTC"),
        "context": pa.string(),  # JSON
        "candidates": pa.list_(CANDIDATE),
        "action_id": pa.string(),
        "choice_probability": pa.float64(),
        "seed": pa.int64(),
        "features": pa.string(),  # JSON
        "consent_version": pa.int64(),
        "policy_version": pa.string(),
        "model_versions": pa.string(),  # JSON
        "reason": pa.string(),
        "degraded": pa.bool_(),
        "latency_us": pa.int64(),
    }
)


def log(connection: sqlite3.Connection, ledger: Ledger, decisions: Sequence[Decision]) -> None:
    """Log decisions with their link and contacts, inside the caller's `journal.write`.

    Raises `DataError` for a decision that cannot be learnt from or must not have been made: its action is not among
    its candidates, a rule had removed it, or its choice probability is missing (unless degraded) or not in (0, 1].
    """
    for decision in decisions:
        _check(decision)
    log_rows(connection, [_row(decision) for decision in decisions], _contacts(ledger, decisions))


def log_rows(connection: sqlite3.Connection, rows: Sequence[Row], reached: Sequence[contacts.Row]) -> None:
    """Log rows that `row` made, under one link, with the contacts they make, inside the caller's transaction."""
    if not rows:
        return
    seq, salts = chain.add_group(connection, KIND, [(row[0], chain.packed_row(row)) for row in rows])
    places = zip(rows, salts, strict=True)
    insert(connection, _FILE, "insert", [(*r, seq, place, salt) for place, (r, salt) in enumerate(places)])
    if reached:
        contacts.add(connection, reached)


def get(ledger: Ledger, decision_id: str) -> Decision:
    """Give one decision from the journal or the segments; raises `UnknownNameError`."""
    with ledger.journal.read() as connection:
        row = connection.execute(load(_FILE, "get"), (decision_id,)).fetchone()
        paths = [ledger.path / s.path for s in catalogue.segments(connection, KIND)] if row is None else []
    if row is not None:
        values = dict(zip((*DECISION_SCHEMA.names, *_LATER), row, strict=True))
        features = described.by_action(described.read(values["action_features"]))
        values |= {"candidates": candidates.unpacked(values["candidates"]), "action_features": features}
        values["ts"] = from_micros(values["ts"])
        return _decision(values | {"position": values["position"] or 1})
    for path in paths:
        for found in pq.read_table(path, filters=pc.field("decision_id") == decision_id).to_pylist():
            return _decision(found | {"candidates": tuple(_candidate(**c) for c in found["candidates"])})
    raise UnknownNameError(f"There is no decision '{decision_id}'; it may have been erased.")


def count(connection: sqlite3.Connection, subject_id: str, *, since: datetime) -> int:
    """Give how often was decided live for a subject (under any of its ids) since a moment, lists left out."""
    subjects = msgspec.json.encode(cluster(connection, subject_id)).decode()
    asked = {"subjects": subjects, "since": to_micros(since)}
    found: int = connection.execute(load(_FILE, "count_of"), asked).fetchone()[0]
    return found


def _decision(values: dict[str, Any]) -> Decision:
    read = {name: msgspec.json.decode(values[name]) for name in ("context", "features", "model_versions")}
    return Decision(**values | read | {"degraded": bool(values["degraded"])})


def _candidate(*, spread: float | None = None, **told: Any) -> Candidate:  # noqa: ANN401 (the columns of a segment)
    return Candidate(spread=spread or 0.0, **told)


def _check(decision: Decision) -> None:
    name, p = f"Decision '{decision.decision_id}'", decision.choice_probability
    chosen = [c for c in decision.candidates if c.action_id == decision.action_id]
    if not chosen:
        raise DataError(f"{name} chose '{decision.action_id}', which is not among its candidates.")
    if chosen[0].removed_by is not None:
        raise DataError(f"{name} chose '{decision.action_id}', which the rule '{chosen[0].removed_by}' had removed.")
    if p is None and not decision.degraded:
        raise DataError(f"{name} has no choice probability; only a degraded decision may lack it.")
    if p is not None and not 0 < p <= 1:
        raise DataError(f"{name} has the choice probability {p}; it must be above 0 and at most 1.")


def _row(d: Decision) -> Row:
    told, numbers = d.candidates, ["response_probability", "expected_value", "choice_probability"]
    if any(c.spread for c in told):
        numbers.append("spread")
    columns = (candidates.little(getattr(c, name) for c in told) for name in numbers)
    first = candidates.head([c.action_id for c in told], [float(c.cost) for c in told])
    p = None if d.choice_probability is None else float(d.choice_probability)
    return row(
        (d.decision_id, d.request_id, d.play, d.mode, d.arm, d.subject_id, d.ts),
        context=d.context,
        shown=candidates.packed(first, [c.removed_by for c in told], *columns),
        chosen=(d.action_id, p, int(d.seed)),
        features=d.features,
        versions=(int(d.consent_version), d.policy_version, d.model_versions),
        told=(d.reason, d.degraded, int(d.latency_us)),
        placed=(d.position, described.of_features(d.action_features)),
    )


def row(
    about: tuple[str, str, str, str, str, str, datetime],
    *,
    context: Mapping[str, Any],
    shown: bytes,
    chosen: tuple[str, float | None, int],
    features: Mapping[str, Any],
    versions: tuple[int, str, Mapping[str, str]],
    told: tuple[str, bool, int],
    placed: tuple[int, described.Described | None] = (1, None),
) -> Row:
    """Give the stored row; `shown` are its candidates (`candidates.packed`), the rest goes by name.

    `placed` is the position in the slate and what described the candidates.
    """
    (*names, ts), (consent_version, policy_version, models), (reason, degraded, latency) = about, versions, told
    position, table = placed
    return (
        *names,
        to_micros(ts),
        _json(context) if context else "{}",
        shown,
        *chosen,
        _json(features) if features else "{}",
        consent_version,
        policy_version,
        _json(models) if models else "{}",
        reason,
        int(degraded),
        latency,
        None if position == 1 else position,
        described.stored(table),
    )


def _json(value: object) -> str:
    return _ENCODE(value).decode()


def _contacts(ledger: Ledger, decisions: Sequence[Decision]) -> list[contacts.Row]:
    return [
        (
            d.subject_id,
            to_micros(d.ts),
            d.decision_id,
            contacts.channel_of(ledger.config, d.play, d.action_id),
            d.play,
            d.action_id,
        )
        for d in decisions
        if d.mode == "live" and contacts.is_contact(ledger.config, d.play, d.action_id)
    ]
