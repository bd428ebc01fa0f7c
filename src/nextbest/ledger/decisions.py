"""The decision log: whole rows, written with their chain links in the transaction that read the permissions.

Single decisions are rows of the journal. A play decided in bulk is one Parquet segment, visible, chained and counted
against the caps from one commit on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nextbest.errors import DataError, UnknownNameError
from nextbest.ledger import archive, catalogue, chain, contacts, gate
from nextbest.ledger.files import digest_file, sync
from nextbest.ledger.statements import load
from nextbest.ledger.times import from_micros, to_micros
from nextbest.ledger.workspace import new_id
from nextbest.types import Candidate, Decision

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

    from nextbest.ledger.workspace import Ledger

_FILE = "decisions.sql"
KIND = archive.DECISION
CANDIDATE = pa.struct(
    {
        "action_id": pa.string(),
        "removed_by": pa.string(),
        "response_probability": pa.float64(),
        "expected_value": pa.float64(),
        "cost": pa.float64(),
        "choice_probability": pa.float64(),
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
    """Log decisions with their links and contacts, inside the caller's `journal.write`.

    Raises `DataError` for a decision that cannot be learnt from or must not have been made: its action is not among
    its candidates, a rule had removed it, or its choice probability is missing (unless degraded) or not in (0, 1].
    """
    for decision in decisions:
        _check(decision)
    rows = [_row(decision) for decision in decisions]
    connection.executemany(load(_FILE, "insert"), rows)
    chain.add_many(connection, "decision", ((row[0], chain.row_bytes(row)) for row in rows))
    contacts.add(connection, _contacts(ledger, decisions))


def log_table(ledger: Ledger, play: str, table: pa.Table, *, consent_version: int) -> str | None:
    """Log a play decided in bulk as one segment, one link and its contacts in one commit; gives the segment's id.

    Gives None, and keeps nothing, when permissions have changed since `consent_version`: decide again. `table` has the
    columns of `DECISION_SCHEMA`. Raises `DataError` as `log` does.
    """
    rows = _checked_table(table, play)
    reached = _contacts_of_table(ledger, play, rows)
    with archive.pending(ledger) as folder:
        file = folder / "decisions.parquet"
        pq.write_table(rows, file, compression="zstd", row_group_size=archive.ROW_GROUP)
        sync(file)
        segment = _segment(file, rows, play)
        target = ledger.path / segment.path
        target.parent.mkdir(parents=True, exist_ok=True)

        def commit(connection: sqlite3.Connection) -> str | None:
            if gate.version(connection) != consent_version:
                return None
            file.replace(target)
            sync(target.parent)
            catalogue.add_segment(connection, segment, ledger.clock())
            chain.add_stored(connection, "segment", segment.segment_id)
            contacts.add(connection, reached)
            return segment.segment_id

        return ledger.journal.write(commit)


def get(ledger: Ledger, decision_id: str) -> Decision:
    """Give one decision from the journal or the segments; raises `UnknownNameError`."""
    with ledger.journal.read() as connection:
        row = connection.execute(load(_FILE, "get"), (decision_id,)).fetchone()
        paths = [ledger.path / s.path for s in catalogue.segments(connection, KIND)] if row is None else []
    if row is not None:
        values = dict(zip(DECISION_SCHEMA.names, row, strict=True))
        candidates = msgspec.json.decode(values["candidates"], type=tuple[Candidate, ...])
        return _decision(values | {"candidates": candidates, "ts": from_micros(values["ts"])})
    for path in paths:
        for found in pq.read_table(path, filters=pc.field("decision_id") == decision_id).to_pylist():
            return _decision(found | {"candidates": tuple(Candidate(**c) for c in found["candidates"])})
    raise UnknownNameError(f"There is no decision '{decision_id}'; it may have been erased.")


def _decision(values: dict[str, Any]) -> Decision:
    read = {name: msgspec.json.decode(values[name]) for name in ("context", "features", "model_versions")}
    return Decision(**values | read | {"degraded": bool(values["degraded"])})


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


def _row(d: Decision) -> tuple[Any, ...]:
    p = None if d.choice_probability is None else float(d.choice_probability)
    return (
        *(d.decision_id, d.request_id, d.play, d.mode, d.arm, d.subject_id, to_micros(d.ts), _json(d.context)),
        *(_json(d.candidates), d.action_id, p, int(d.seed), _json(d.features), int(d.consent_version)),
        *(d.policy_version, _json(d.model_versions), d.reason, int(d.degraded), int(d.latency_us)),
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _contacts(ledger: Ledger, decisions: Sequence[Decision]) -> list[contacts.Row]:
    return [
        (d.subject_id, to_micros(d.ts), d.decision_id, _channel(ledger, d.play, d.action_id), d.play, d.action_id)
        for d in decisions
        if d.mode == "live" and contacts.is_contact(ledger.config, d.play, d.action_id)
    ]


def _channel(ledger: Ledger, play: str, action_id: str) -> str:
    return contacts.reaching(ledger.config, play).get(action_id, "")


def _checked_table(table: pa.Table, play: str) -> pa.Table:
    """Give the table in the schema of the log, after the checks that `log` makes."""
    missing = [n for n in DECISION_SCHEMA.names if n not in table.column_names]
    if missing:
        raise DataError(f"The decisions of play '{play}' lack the columns {', '.join(missing)}.")
    rows = table.select(DECISION_SCHEMA.names).cast(DECISION_SCHEMA)
    p = rows["choice_probability"]
    in_range = pc.and_(pc.greater(p, 0.0), pc.less_equal(p, 1.0))
    good = pc.if_else(pc.is_null(p), rows["degraded"], in_range)
    if not pc.all(pc.fill_null(good, False), min_count=0).as_py():  # noqa: FBT003 (Arrow takes it by place)
        raise DataError(f"A decision of play '{play}' has a choice probability that is missing or not in (0, 1].")
    if not all(map(_choices_stand, rows.to_batches())):
        raise DataError(f"A decision of play '{play}' chose an action that is no candidate or that a rule had removed.")
    return rows


def _choices_stand(rows: pa.RecordBatch) -> bool:
    """Say whether every chosen action is among the candidates of its row, and not removed by a rule."""
    parents = pc.list_parent_indices(rows["candidates"])
    candidate = pc.list_flatten(rows["candidates"])
    chosen = pc.equal(pc.struct_field(candidate, "action_id"), rows["action_id"].take(parents))
    standing = pc.and_(chosen, pc.is_null(pc.struct_field(candidate, "removed_by")))
    return bool(len(pc.unique(parents.filter(standing))) == rows.num_rows)


def _contacts_of_table(ledger: Ledger, play: str, rows: pa.Table) -> list[contacts.Row]:
    actions = [a for a in pc.unique(rows["action_id"]).to_pylist() if contacts.is_contact(ledger.config, play, a)]
    reaching = pc.and_(pc.is_in(rows["action_id"], pa.array(actions, pa.string())), pc.equal(rows["mode"], "live"))
    made = rows.select(["subject_id", "ts", "decision_id", "action_id"]).filter(reaching)
    micros = made["ts"].cast(pa.int64()).to_pylist()
    channels = contacts.reaching(ledger.config, play)
    columns = (made[name].to_pylist() for name in ("subject_id", "decision_id", "action_id"))
    return [(s, ts, d, channels.get(a, ""), play, a) for ts, s, d, a in zip(micros, *columns, strict=True)]


def _segment(file: Path, rows: pa.Table, play: str) -> catalogue.Segment:
    segment_id = new_id("s")
    span = pc.min_max(rows["ts"].cast(pa.int64()))
    return catalogue.Segment(
        segment_id=segment_id,
        kind=KIND,
        path=f"{archive.FOLDER}/{KIND}/{segment_id}.parquet",
        rows=rows.num_rows,
        bytes=file.stat().st_size,
        sha256=digest_file(file),
        min_ts=span["min"].as_py(),
        max_ts=span["max"].as_py(),
        source=f"play:{play}",
    )
