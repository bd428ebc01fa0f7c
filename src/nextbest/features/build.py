"""Features of subjects as of a moment: one query for training, scoring in bulk and serving, so that they agree.

Only what happened strictly before `as_of` counts, by `ts`. History that is imported today was received today, so
`received_ts` counts only on request (`known=True`): it then also leaves out live events that came in late.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import LedgerError, UsageError
from nextbest.features.compile import Whom, compile_features
from nextbest.features.language import kinds_used
from nextbest.ledger import analysis, views

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    parameters, listed = {"as_of": micros(as_of)}, tuple(features)
    if subject_ids is None:
        return _rows(ledger, listed, population, parameters=parameters, known=known)
    wanted = {"wanted": pa.table({"subject_id": list(subject_ids)}, schema=WANTED)}
    return _rows(ledger, listed, "wanted", parameters=parameters, known=known, tables=wanted)


def build_panel(
    ledger: Ledger, features: Sequence[Feature], cuts: Sequence[tuple[str, datetime]], *, known: bool = False
) -> pa.Table:
    """Give `subject_id`, `as_of` and the features, one row per different pair, in order: many moments in one pass."""
    columns = {"subject_id": [subject for subject, _ in cuts], "as_of": [micros(moment) for _, moment in cuts]}
    return _rows(ledger, tuple(features), "cuts", known=known, tables={"cuts": pa.table(columns, schema=CUTS)})


def vector(
    ledger: Ledger, features: Sequence[Feature], subject_id: str, *, as_of: datetime, known: bool = False
) -> dict[str, float | None]:
    """Give the features of one subject by name: the values of its row of `build`, byte for byte."""
    parameters: dict[str, int | str] = {"as_of": micros(as_of), "subject_id": subject_id}
    row: dict[str, Any] = _rows(ledger, tuple(features), "one", parameters=parameters, known=known).to_pylist()[0]
    return {f.name: row[f.name] for f in features}


def _rows(
    ledger: Ledger,
    features: tuple[Feature, ...],
    whom: Whom,
    *,
    known: bool,
    parameters: Mapping[str, int | str] | None = None,
    tables: Mapping[str, pa.Table] | None = None,
) -> pa.Table:
    import duckdb

    if not features:
        raise UsageError("No features are asked for. Load events first, or name the features.")
    kinds = {*kinds_used(features), *(("subjects",) if whom == "all" else ())}
    query, categories = _text(features, whom, known=known)
    with analysis.connect(ledger, [SOURCES.get(k, k) for k in kinds], categories=categories) as connection:
        for name, rows in (tables or {}).items():
            analysis.view(connection, name, rows)
        try:
            found = connection.sql(query, params=parameters).to_arrow_table()
        except duckdb.Error as error:
            raise LedgerError(f"The features could not be computed: {error}") from error
    return plain(found, features)


@lru_cache(maxsize=64)
def _text(features: tuple[Feature, ...], whom: Whom, *, known: bool) -> tuple[str, bool]:
    """Give the query's text, and whether it asks for the category of events.

    Building it takes longer than running it for one subject, so it is kept.
    """
    query = compile_features(features, whom=whom, known=known, sources=SOURCES)
    return query.sql(dialect="duckdb"), views.asks_for_category(query)


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
