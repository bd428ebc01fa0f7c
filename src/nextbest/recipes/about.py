"""Whom recipes speak about, and all that is known about everyone of a type: what a play chooses from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from nextbest import registry
from nextbest.errors import DataError
from nextbest.features.build import build
from nextbest.features.sets import feature_set
from nextbest.models import store

if TYPE_CHECKING:
    from datetime import datetime

    from nextbest.ledger import Ledger
    from nextbest.types import Recipe

CUSTOMER = "customer"
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
    return table if kind == CUSTOMER else table.append_column("subject_type", pa.repeat(kind, table.num_rows))


def features(ledger: Ledger, as_of: datetime) -> pa.Table:
    """Give the features of everyone who has any; of deals alone there are predictions, but no features."""
    found = feature_set(ledger)
    return build(ledger, found, as_of=as_of) if found else pa.table({"subject_id": pa.array([], pa.string())})


def everyone(ledger: Ledger, kind: str, *, as_of: datetime) -> tuple[pa.Table, dict[str, str]]:
    """Give features and predictions of every subject of a type, and which model versions spoke.

    Only recipes about that type are asked. Of a deal is known what they say, and that is about open ones; a lead of
    whom nothing is known but attributes has a score and no features. Raises `DataError` when nobody is known.
    """
    table = features(ledger, as_of) if kind == CUSTOMER else pa.table({"subject_id": pa.array([], pa.string())})
    versions = {}
    for fitted in store.newest(ledger):
        recipe: Recipe = registry.make("recipes", fitted.recipe, fitted.settings)
        if speaks_of_subjects(recipe) and subject_type(recipe) == kind:
            said = recipe.predict(ledger, fitted, as_of=as_of)
            fresh = [c for c in said.column_names if c == "subject_id" or c not in table.column_names]
            table = table.join(said.select(fresh), keys="subject_id", join_type="full outer").sort_by("subject_id")
            versions[fitted.recipe] = fitted.model_id
    if not table.num_rows:
        raise DataError(_NOBODY[kind])
    return table, versions
