"""Features of subjects as of a moment: one query for training, scoring in bulk and serving, so that they agree.

Only what happened strictly before `as_of` counts, by `ts`. History that is imported today was received today, so
`received_ts` counts only on request (`known=True`): it then also leaves out live events that came in late.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import UsageError
from nextbest.features.compile import Whom, compile_features
from nextbest.ledger import analysis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextbest.features.language import Feature
    from nextbest.ledger.workspace import Ledger

SOURCES = {"subjects": "subjects_history"}
CUTS = pa.schema([("subject_id", pa.string()), ("as_of", pa.int64())])
WANTED = pa.schema([("subject_id", pa.string())])
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT = pa.timestamp("us", tz="UTC")


def build(
    ledger: Ledger,
    features: Sequence[Feature],
    *,
    as_of: datetime,
    subject_ids: Sequence[str] | None = None,
    population: Literal["seen", "all"] = "seen",
    known: bool = False,
) -> pa.Table:
    """Give `subject_id` and one float64 column per feature (null = unknown), one row per subject, in order of the id.

    Rows are the `subject_ids` asked for (each once, known or not), else everyone with an event of the kinds used
    before `as_of`; `population="all"` adds those of whom only attributes are known.
    """
    whom: Whom = population if subject_ids is None else "wanted"
    query = compile_features(features, whom=whom, known=known, sources=SOURCES)
    tables = {} if subject_ids is None else {"wanted": pa.table({"subject_id": list(subject_ids)}, schema=WANTED)}
    rows = analysis.fetch(ledger, query, parameters={"as_of": micros(as_of)}, tables=tables)
    return plain(rows, features)


def build_panel(
    ledger: Ledger, features: Sequence[Feature], cuts: Sequence[tuple[str, datetime]], *, known: bool = False
) -> pa.Table:
    """Give `subject_id`, `as_of` and the features, one row per different pair, in order: many moments in one pass."""
    query = compile_features(features, whom="cuts", known=known, sources=SOURCES)
    columns = {"subject_id": [subject for subject, _ in cuts], "as_of": [micros(moment) for _, moment in cuts]}
    rows = analysis.fetch(ledger, query, tables={"cuts": pa.table(columns, schema=CUTS)})
    return plain(rows, features)


def vector(
    ledger: Ledger, features: Sequence[Feature], subject_id: str, *, as_of: datetime, known: bool = False
) -> dict[str, float | None]:
    """Give the features of one subject by name: the values of its row of `build`, byte for byte."""
    query = compile_features(features, whom="one", known=known, sources=SOURCES)
    parameters = {"as_of": micros(as_of), "subject_id": subject_id}
    row: dict[str, Any] = plain(analysis.fetch(ledger, query, parameters=parameters), features).to_pylist()[0]
    return {f.name: row[f.name] for f in features}


def micros(moment: datetime) -> int:
    """Give a moment as microseconds since 1970 UTC; raises `UsageError` without a time zone."""
    if moment.tzinfo is None:
        raise UsageError(f"The moment {moment.isoformat()} has no time zone; give it in UTC.")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def plain(rows: pa.Table, features: Sequence[Feature]) -> pa.Table:
    """Give the rows of a feature query with their fixed types; zero has one sign."""
    names = [f.name for f in features]
    keys = {name: rows.column(name) for name in rows.column_names if name not in names}
    keys["subject_id"] = keys["subject_id"].cast(pa.string())
    if "as_of" in keys:
        keys["as_of"] = keys["as_of"].cast(_MOMENT)
    values = {name: pc.add(rows.column(name).cast(pa.float64()), 0.0) for name in names}
    return pa.table({**keys, **values})
