"""Which model serves: published whole or not at all, and the previous one back in one command.

    save -> load again (hash, signature, a child process, canaries) -> one row that says that it serves from now on

Until that row is committed the model before it serves; the row is one transaction and a link of the audit chain.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nextbest.errors import ModelError, UsageError, unknown
from nextbest.ledger import faults, rollout
from nextbest.ledger.times import from_micros
from nextbest.models import store

if TYPE_CHECKING:
    from nextbest.ledger import Ledger
    from nextbest.ledger.rollout import Serving
    from nextbest.types import Fitted


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One model that is kept: when it was saved, whether it serves, since when and why (empty where it does not)."""

    recipe: str
    model_id: str
    as_of: str
    saved: str
    serves: bool
    since: str = ""
    why: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)


def publish(ledger: Ledger, fitted: Fitted, *, why: str) -> None:
    """Keep a fitted recipe and let it serve; raises `ModelError`, and the model before serves on, when it is unsound.

    A model that serves already is only saved anew.
    """
    folder = ledger.path / "models" / fitted.model_id
    known = folder.exists()
    store.save(ledger, fitted)
    try:
        store.load(ledger, fitted.model_id)
    except ModelError:
        if not known:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    _serve(ledger, fitted.recipe, fitted.model_id, why)


def versions(ledger: Ledger, recipe: str | None = None) -> list[Version]:
    """Give the versions that are kept, oldest first; raises `UnknownNameError` for a recipe without any."""
    kept = store.versions(ledger)
    recipes = {str(said["recipe"]) for said, _ in kept}
    if recipe is not None and recipe not in recipes:
        raise unknown("fitted model of the recipe", recipe, recipes)
    rows = {name: _rows(ledger, name) for name in recipes}
    latest = {said["recipe"]: model_id for said, model_id in kept}
    serves = {name: served[-1].model_id if served else latest[name] for name, served in rows.items()}
    return [
        _version(said, model_id, serves[said["recipe"]], rows[said["recipe"]])
        for said, model_id in kept
        if recipe in {None, said["recipe"]}
    ]


def rollback(ledger: Ledger, recipe: str, *, to: str | None = None, why: str) -> Version:
    """Let the model that served before serve again, or the one named; it is verified first, and chained.

    Raises `UsageError` without a reason, or when there is nothing to go back to; `ModelError` for a damaged model.
    """
    if not why.strip():
        raise UsageError("Going back to another model needs a reason: --why TEXT. It is kept with the step.")
    kept = [v.model_id for v in versions(ledger, recipe)]
    if to is not None and to not in kept:
        raise unknown(f"model of the recipe '{recipe}'", to, kept)
    wanted = to or _before(ledger, recipe, kept)
    store.load(ledger, wanted)
    _serve(ledger, recipe, wanted, why, again=True)
    return next(v for v in versions(ledger, recipe) if v.model_id == wanted)


def _serve(ledger: Ledger, recipe: str, model_id: str, why: str, *, again: bool = False) -> None:
    if not again and store.serving(ledger).get(recipe) == model_id:
        return
    faults.at("publish", f"serve {model_id}")
    rollout.serve(ledger, recipe, model_id, why=why)


def _before(ledger: Ledger, recipe: str, kept: list[str]) -> str:
    """Give the model that served before the present one and is still kept, else the one saved before it."""
    served = [row.model_id for row in _rows(ledger, recipe)]
    now = served[-1] if served else kept[-1]
    earlier = [m for m in served if m != now and m in kept] or [m for m in kept if m != now]
    if not earlier:
        raise UsageError(f"Only one model of the recipe '{recipe}' is kept, so there is none to go back to.")
    return earlier[-1]


def _rows(ledger: Ledger, recipe: str) -> list[Serving]:
    with ledger.journal.read() as connection:
        return rollout.servings(connection, recipe)


def _version(said: Mapping[str, object], model_id: str, serves: str, rows: list[Serving]) -> Version:
    row = rows[-1] if rows and rows[-1].model_id == model_id else None
    report = said["report"]
    metrics = report.get("metrics", {}) if isinstance(report, Mapping) else {}
    return Version(
        recipe=str(said["recipe"]),
        model_id=model_id,
        as_of=str(said["as_of"]),
        saved=from_micros(int(str(said["saved_us"]))).isoformat(),
        serves=model_id == serves,
        since=row.ts.isoformat() if row else "",
        why=row.why if row else "",
        metrics=metrics,
    )
