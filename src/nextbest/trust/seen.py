"""The rows that a fitted recipe looks at, fetched again when somebody asks: a model keeps nobody's values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest import registry
from nextbest.errors import NextbestError, UsageError
from nextbest.features.build import build
from nextbest.features.sets import feature_set
from nextbest.models import contributions
from nextbest.models.encode import SUBJECT
from nextbest.recipes import flat_table

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from numpy.typing import NDArray

    from nextbest.ledger import Ledger
    from nextbest.types import Fitted, Model

    Vector = NDArray[np.float64]
    Ids = tuple[str, ...] | None

MOST_ROWS = 4_000  # enough that a share is known to about two points; a card takes seconds, not minutes
MAIN = "model"
_NUMBERS = frozenset({"auc", "mae", "rmse", "normalised_gini"})
_NOT_AT_HAND = "The table that taught it was handed over in memory. Give `table` to see it."
_LEANT = "Here the model's number is its own, before the stage's rate is weighed in."
_PERIOD = "Here the model's number is the chance to leave in the present period, not yet over the whole horizon."


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Rows of features, whose they are, what the main model is, and the label where the table holds it.

    `note` says what the model's number is, where it is not what the recipe predicts.
    """

    model: Model
    subject_ids: pa.Array
    features: pa.Table
    actual: Vector | None = None
    note: str = ""


def seen(
    ledger: Ledger,
    fitted: Fitted,
    *,
    as_of: datetime,
    table: str | Path | pa.Table | None = None,
    subject_ids: Ids = None,
) -> Seen | str:
    """Give rows that the recipe's main model reads, every so many of them when there are many, or why there are none.

    *table* stands in for the flat table of the recipe's settings; *subject_ids* asks for these rows only.
    """
    model = fitted.parts.get(MAIN)
    if model is None:
        several = f"It has several models ({', '.join(fitted.parts)}): no one of them gives the answer."
        return several if len(fitted.parts) > 1 else "This recipe has no model that reads a table of columns."
    if not contributions.additive(model) and not _NUMBERS & set(fitted.report.metrics):
        return "The model of this recipe gives no number that columns could move."
    source = table if table is not None else fitted.settings.get("table")
    recipe = registry.make("recipes", fitted.recipe, {**fitted.settings, **({} if table is None else {"table": table})})
    try:
        found = _asked(recipe, ledger, fitted, as_of=as_of, asked=subject_ids, flat=source is not None)
        if found is None and source is not None:
            found = _flat(model, fitted, source, subject_ids)
        if found is None and "features" in fitted.extra:
            found = _built(recipe, ledger, fitted, as_of=as_of, asked=subject_ids)
    except (NextbestError, pa.ArrowInvalid) as error:
        return str(error)
    if found is None:
        return _NOT_AT_HAND if fitted.settings.get("label") else "The recipe does not say which rows its model reads."
    missing = set(getattr(model, "columns", ())) - set(found.features.column_names)
    return f"The rows lack what the model reads: {', '.join(sorted(missing))}." if missing else found


def _asked(
    recipe: Any,  # noqa: ANN401
    ledger: Ledger,
    fitted: Fitted,
    *,
    as_of: datetime,
    asked: Ids,
    flat: bool,
) -> Seen | None:
    """Give what a recipe itself says that its model reads; None when it leaves that to its table or its features.

    A recipe says it by a method `seen(ledger, fitted, *, as_of, subject_ids=None)`, which gives a table with
    `subject_id`, or None.
    """
    if not hasattr(recipe, "seen"):
        return None
    try:
        rows = recipe.seen(ledger, fitted, as_of=as_of, subject_ids=asked)
    except UsageError:
        if flat:  # it learnt from the table: there are no features to build
            return None
        raise
    if rows is None:
        return None
    rows = rows.take(pa.array(_chosen(rows[SUBJECT].combine_chunks(), asked)))
    model = fitted.parts[MAIN]
    leans = fitted.extra.get("weight", 1) < 1 and "rates" in fitted.extra
    note = _PERIOD if "causes" in fitted.extra or fitted.extra.get("by") == "duration" else _LEANT if leans else ""
    columns = _columns(model, rows, drop={SUBJECT})
    return Seen(model=model, subject_ids=rows[SUBJECT].combine_chunks(), features=rows.select(columns), note=note)


def _flat(model: Model, fitted: Fitted, source: str | Path | pa.Table, asked: Ids) -> Seen:
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


def _built(recipe: Any, ledger: Ledger, fitted: Fitted, *, as_of: datetime, asked: Ids) -> Seen:  # noqa: ANN401
    """Give features built from the events of these subjects, or of all that the recipe predicts for."""
    model = fitted.parts[MAIN]
    if asked is None:
        ids = recipe.predict(ledger, fitted, as_of=as_of)[SUBJECT].combine_chunks().cast(pa.string())
        asked = tuple(ids.take(pa.array(_chosen(ids, None))).to_pylist())
    names = set(fitted.extra["features"])
    wanted = [f for f in feature_set(ledger) if f.name in names]
    features = build(ledger, wanted, as_of=as_of, subject_ids=list(asked))
    columns = _columns(model, features, drop={SUBJECT})
    return Seen(model=model, subject_ids=features[SUBJECT].combine_chunks(), features=features.select(columns))


def _chosen(ids: pa.Array, asked: Ids) -> NDArray[np.int64]:
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
