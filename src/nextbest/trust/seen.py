"""The rows that a fitted recipe looks at, fetched again when somebody asks: a model keeps nobody's values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest import registry
from nextbest.errors import NextbestError
from nextbest.features.build import build
from nextbest.features.sets import feature_set
from nextbest.models.encode import SUBJECT
from nextbest.recipes import flat_table

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from numpy.typing import NDArray

    from nextbest.ledger import Ledger
    from nextbest.types import Fitted, Model

    Vector = NDArray[np.float64]

MOST_ROWS = 4_000  # enough that a share is known to about two points; a card takes seconds, not minutes
MAIN = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Rows of features, whose they are, what the main model is, and the label where the table holds it."""

    model: Model
    subject_ids: pa.Array
    features: pa.Table
    actual: Vector | None = None
    why: str = ""


def seen(
    ledger: Ledger,
    fitted: Fitted,
    *,
    as_of: datetime,
    table: str | Path | pa.Table | None = None,
    subject_ids: tuple[str, ...] | None = None,
) -> Seen | str:
    """Give rows that the recipe's main model reads, every so many of them when there are many, or why there are none.

    *table* stands in for the flat table of the recipe's settings; *subject_ids* asks for these rows only.
    """
    model = fitted.parts.get(MAIN)
    if model is None:
        return "This recipe has no single model that reads a table of columns."
    source = table if table is not None else fitted.settings.get("table")
    try:
        if source is not None:
            return _flat(model, fitted, source, subject_ids)
        if "features" in fitted.extra:
            return _built(ledger, model, fitted, as_of, subject_ids)
    except (NextbestError, pa.ArrowInvalid) as error:
        return str(error)
    return "The table that taught it was handed over in memory. Give `table` to see it."


def _flat(model: Model, fitted: Fitted, source: str | Path | pa.Table, asked: tuple[str, ...] | None) -> Seen:
    table = flat_table.read(source)
    settings = fitted.settings
    ids = pa.array(flat_table.subject_ids(table, settings.get("id")), pa.string())
    chosen = _chosen(ids, asked)
    label = settings.get("label")
    actual = None
    if asked is None and label in table.column_names:
        positive = str(fitted.extra.get("positive", settings.get("positive")))
        same = pc.equal(pc.utf8_lower(table[label].cast(pa.string())), positive.lower())
        actual = same.combine_chunks().cast(pa.float64()).to_numpy(zero_copy_only=False)[chosen]
    features = table.take(pa.array(chosen)).select(_columns(model, table, drop={label, settings.get("id")}))
    if actual is not None and not np.isfinite(actual).all():
        known = np.isfinite(actual)
        chosen, features, actual = chosen[known], features.filter(pa.array(known)), actual[known]
    return Seen(model=model, subject_ids=ids.take(pa.array(chosen)), features=features, actual=actual)


def _built(ledger: Ledger, model: Model, fitted: Fitted, as_of: datetime, asked: tuple[str, ...] | None) -> Seen:
    if asked is None:
        recipe = registry.make("recipes", fitted.recipe, fitted.settings)
        ids = recipe.predict(ledger, fitted, as_of=as_of)[SUBJECT].combine_chunks().cast(pa.string())
        asked = tuple(ids.take(pa.array(_chosen(ids, None))).to_pylist())
    names = set(fitted.extra["features"])
    wanted = [f for f in feature_set(ledger) if f.name in names]
    features = build(ledger, wanted, as_of=as_of, subject_ids=list(asked))
    columns = _columns(model, features, drop={SUBJECT})
    return Seen(model=model, subject_ids=features[SUBJECT].combine_chunks(), features=features.select(columns))


def _chosen(ids: pa.Array, asked: tuple[str, ...] | None) -> NDArray[np.int64]:
    if asked is not None:
        return np.flatnonzero(pc.is_in(ids, pa.array(asked, pa.string())).to_numpy(zero_copy_only=False))
    step = max(1, -(-len(ids) // MOST_ROWS))
    return np.arange(0, len(ids), step)


def _columns(model: Model, table: pa.Table, *, drop: set[Any]) -> list[str]:
    """Give the columns that the model reads; of a model that does not say so, all but the label and the id."""
    read = getattr(model, "columns", None)
    return [n for n in table.column_names if n not in drop and (read is None or n in read)]


def predictions(model: Model, table: pa.Table) -> Vector:
    """Give the model's prediction per row."""
    said: Vector = np.asarray(model.predict(table)["prediction"].to_numpy(), dtype=np.float64)
    return said
