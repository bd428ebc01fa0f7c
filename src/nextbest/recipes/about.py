"""Whom recipes speak about, and all that is known about everyone of a type: what a play chooses from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from nextbest import registry
from nextbest.errors import DataError
from nextbest.features.build import build
from nextbest.features.sets import feature_set
from nextbest.ledger import published, republished
from nextbest.models import store

if TYPE_CHECKING:
    from datetime import datetime

    from nextbest.ledger import Ledger
    from nextbest.types import Fitted, Recipe

CUSTOMER = "customer"
FEATURES = "features"  # the name under which they are published
_MARK = "subject_type"
_NOBODY = {
    CUSTOMER: (
        "The ledger knows nobody yet. Load orders or contacts first: nextbest load FILE... A play for open deals "
        'has the setting subject_type = "deal".'
    ),
    "deal": "No open deal is known. Load deals with their stages, then: nextbest fit deal_win; nextbest fit pipeline.",
}


def speaks_of_subjects(recipe: Recipe) -> bool:
    """Tell whether predictions are about the ledger's subjects: not about a flat table's rows, products or quarters."""
    flat = getattr(recipe, "table", None) is not None or getattr(recipe, "label", None) is not None
    return getattr(recipe, "per_subject", True) and not flat


def subject_type(recipe: Recipe) -> str:
    """Give what the recipe's subjects are: "customer" (anybody with features), or "deal"."""
    return str(getattr(recipe, "subject_type", CUSTOMER))


def marked(table: pa.Table, recipe: Recipe) -> pa.Table:
    """Give predictions about deals with a column that says so, so that a play for customers is not for them."""
    kind = subject_type(recipe)
    return table if kind == CUSTOMER else table.append_column(_MARK, pa.repeat(kind, table.num_rows))


def features(ledger: Ledger, as_of: datetime) -> pa.Table:
    """Give the features of everyone who has any; of deals alone there are predictions, but no features."""
    found = feature_set(ledger)
    return build(ledger, found, as_of=as_of) if found else pa.table({"subject_id": pa.array([], pa.string())})


def publish(
    ledger: Ledger, recipe: Recipe, fitted: Fitted, table: pa.Table, *, as_of: datetime, state: str | None
) -> None:
    """Publish predictions for live decisions, and the features as of the same moment, unless these stand already.

    *state* is that of the data before predicting (`republished.state`), None: decisions are not to read them back.
    """
    published.publish(ledger, fitted.recipe, fitted.model_id, as_of, marked(table, recipe), state=state)
    known = republished.state(ledger)
    if not republished.confirm(ledger, FEATURES, "", as_of, state=known):
        published.publish(ledger, FEATURES, "", as_of, features(ledger, as_of), state=known)


def everyone(ledger: Ledger, kind: str, *, as_of: datetime) -> tuple[pa.Table, dict[str, str]]:
    """Give features and predictions of every subject of a type, and which model versions spoke.

    Only recipes about that type are asked. Of a deal is known what they say, and that is about open ones; a lead of
    whom nothing is known but attributes has a score and no features. What is published from the same data, as of the
    same moment, is read and not predicted again. Raises `DataError` when nobody is known.
    """
    state, table = republished.state(ledger), pa.table({"subject_id": pa.array([], pa.string())})
    if kind == CUSTOMER:
        built = republished.stored(ledger, FEATURES, "", as_of, state=state)
        table = features(ledger, as_of) if built is None else built
    versions = {}
    for fitted in store.newest(ledger):
        recipe: Recipe = registry.make("recipes", fitted.recipe, fitted.settings)
        if speaks_of_subjects(recipe) and subject_type(recipe) == kind:
            said = _said(ledger, recipe, fitted, as_of=as_of, state=state)
            fresh = [c for c in said.column_names if c == "subject_id" or c not in table.column_names]
            table = table.join(said.select(fresh), keys="subject_id", join_type="full outer").sort_by("subject_id")
            versions[fitted.recipe] = fitted.model_id
    if not table.num_rows:
        raise DataError(_NOBODY[kind])
    return table, versions


def _said(ledger: Ledger, recipe: Recipe, fitted: Fitted, *, as_of: datetime, state: str) -> pa.Table:
    """Give a recipe's predictions, as published where that is the same."""
    said = republished.stored(ledger, fitted.recipe, fitted.model_id, as_of, state=state)
    if said is None:
        return recipe.predict(ledger, fitted, as_of=as_of)
    return said if subject_type(recipe) == CUSTOMER else said.drop_columns([_MARK])
