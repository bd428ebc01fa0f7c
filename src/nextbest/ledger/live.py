"""The journal's rows as Arrow streams: read when a query asks for them, and not before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from nextbest.errors import LedgerError
from nextbest.ledger import candidates
from nextbest.ledger.archive import COMPACTION
from nextbest.ledger.kinds import KINDS
from nextbest.ledger.statements import load

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from nextbest.ledger.workspace import Ledger

_BATCH = 65_536
_MOMENT = pa.timestamp("us", tz="UTC")
_EVENT = (
    ("message_id", pa.string()), ("subject_id", pa.string()), ("subject_type", pa.string()), ("ts", _MOMENT),
    ("ts_offset_min", pa.int64()), ("received_ts", _MOMENT), ("source", pa.string()), ("body", pa.string()),
)  # fmt: skip
_CONSENT = (*((f.name, f.type) for f in KINDS["consent"].schema()), ("received_ts", _MOMENT), ("version", pa.int64()))
_DECISION = (
    ("decision_id", pa.string()), ("request_id", pa.string()), ("play", pa.string()), ("mode", pa.string()),
    ("arm", pa.string()), ("subject_id", pa.string()), ("ts", _MOMENT), ("context", pa.string()),
    ("candidates", pa.string()), ("action_id", pa.string()), ("choice_probability", pa.float64()), ("seed", pa.int64()),
    ("features", pa.string()), ("consent_version", pa.int64()), ("policy_version", pa.string()),
    ("model_versions", pa.string()), ("reason", pa.string()), ("degraded", pa.bool_()), ("latency_us", pa.int64()),
)  # fmt: skip
_PREDICTION = (
    ("subject_id", pa.string()), ("recipe", pa.string()), ("model_id", pa.string()), ("as_of", _MOMENT),
    ("ts", _MOMENT), ("body", pa.string()),
)  # fmt: skip

SCHEMAS: dict[str, pa.Schema] = {
    "event": pa.schema(_EVENT),
    "outcomes": KINDS["outcomes"].schema(),
    "identities": KINDS["identities"].schema(),
    "consent": pa.schema(_CONSENT),
    "decisions": pa.schema(_DECISION),
    "predictions": pa.schema(_PREDICTION),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of one statement of `live.sql`, as anything that speaks the Arrow stream protocol can read them.

    `compactions` is how often live rows had become segments when the segments were listed: later, rows would be
    missing from both, and reading them raises `LedgerError`.
    """

    ledger: Ledger
    statement: str
    parameters: tuple[Any, ...] = ()
    compactions: int = 0

    @property
    def schema(self) -> pa.Schema:
        """Give the columns; the statement has one of each name."""
        return SCHEMAS[self.statement]

    def __arrow_c_schema__(self) -> object:
        return self.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.reader().__arrow_c_stream__(requested_schema)

    def reader(self) -> pa.RecordBatchReader:
        """Give the rows as they are now."""
        return pa.RecordBatchReader.from_batches(self.schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        with self.ledger.journal.read() as connection:
            if compactions(connection) != self.compactions:
                raise LedgerError("Live rows became segments during this analysis. Run it again.")
            cursor = connection.execute(load("live.sql", self.statement), self.parameters)
            names = [column[0] for column in cursor.description]
            while rows := cursor.fetchmany(_BATCH):
                columns = dict(zip(names, zip(*rows, strict=True), strict=True))
                if "candidates" in columns:
                    columns["candidates"] = [candidates.as_json(stored) for stored in columns["candidates"]]
                arrays = [_array(columns[f.name], f.type) for f in self.schema]
                yield pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def compactions(connection: sqlite3.Connection) -> int:
    """Give how many segments were made of live rows."""
    found: int = connection.execute(load("live.sql", "compactions"), (COMPACTION,)).fetchone()[0]
    return found


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_boolean(kind):  # SQLite keeps 0 and 1
        return pa.array([None if v is None else bool(v) for v in values], kind)
    return pa.array(values, kind)
