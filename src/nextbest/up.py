"""The first five minutes: files in, today's list out, each stage with its figures and seconds.

for stage in up(ledger, ["exports/"]):
    print(stage.name, stage.seconds, stage.figures)
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from nextbest import operations, verbs
from nextbest.errors import DataError
from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from nextbest.ledger import Ledger
    from nextbest.types import Play

# Which recipes are tried, by kinds of which one has to be there. Others need settings: a table, a list, an event.
NEEDS = {
    "churn": ("order", "order_line", "subscription"),
    "value": ("order", "subscription"),
    "next_order_date": ("order", "order_line"),
    "segments": ("order", "order_line"),
    "lead_score": ("activity", "touch"),
    "deal_win": ("deal_stage",),
    "pipeline": ("deal_stage",),
    "sales_forecast": ("deal_stage",),
    "rep_performance": ("deal_stage",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One finished stage: its name, how long it took, and its figures (JSON-able)."""

    name: str
    seconds: float
    figures: dict[str, Any] = field(default_factory=dict)


def up(
    ledger: Ledger, paths: Sequence[str | Path], *, progress: Callable[[float], None] | None = None
) -> Iterator[Stage]:
    """Load, check, fit what the data supports, predict, decide; gives each stage as it is done."""
    yield timed("load", lambda: load_figures(verbs.load(ledger, *paths, progress=progress)))
    yield timed("check", lambda: {"tables": operations.check(ledger)})
    yield from learn_and_decide(ledger)


def learn_and_decide(ledger: Ledger, *, as_of: datetime | None = None) -> Iterator[Stage]:
    """Fit and predict every recipe the data supports, then decide every play."""
    for recipe in recipes(ledger):
        fitted = timed(f"fit {recipe}", partial(fit_figures, ledger, recipe, as_of))
        yield fitted
        if fitted.figures["status"] == "ok":
            yield timed(f"predict {recipe}", partial(predict_figures, ledger, recipe, as_of))
    for name, play in verbs.plays(ledger).items():
        if not is_on_request(play):
            yield timed(f"decide {name}", partial(decide_figures, ledger, name, as_of))


def is_on_request(play: Play) -> bool:
    """Say whether a play only shows content: that is decided when a page asks, and never a list to work through."""
    return {a.action_class for a in play.actions if a.id != NO_ACTION} == {"content"}


def recipes(ledger: Ledger) -> tuple[str, ...]:
    """Give the recipes worth trying on what the ledger holds, and those that nextbest.toml declares."""
    present = operations.kinds(ledger)
    declared = [name for name, settings in ledger.config.recipes.items() if "recipe" in settings]
    return (*(name for name, kinds in NEEDS.items() if present.intersection(kinds)), *declared)


def timed(name: str, work: Callable[[], dict[str, Any]]) -> Stage:
    """Give the stage with the seconds its work took."""
    start = time.perf_counter()
    figures = work()
    return Stage(name=name, seconds=round(time.perf_counter() - start, 2), figures=figures)


def load_figures(report: verbs.LoadReport) -> dict[str, Any]:
    """Give a load's totals beside its files."""
    return {
        "rows_read": sum(f.rows_read for f in report.files),
        "rows_accepted": sum(f.rows_accepted for f in report.files),
        "rows_rejected": sum(f.rows_rejected for f in report.files),
        "subjects": report.subjects,
        "duplicates_joined": report.duplicates_joined,
        "files": report.files,
        "notes": report.notes,
    }


def fit_figures(ledger: Ledger, recipe: str, as_of: datetime | None) -> dict[str, Any]:
    """Give a fit's report; a ledger without what the recipe needs is 'not enough data', not an error."""
    try:
        fitted = verbs.fit(ledger, recipe, as_of=as_of)
    except DataError as error:
        return {"recipe": recipe, "status": "not_enough_data", "why": str(error)}
    report = fitted.report
    return {
        "recipe": recipe,
        "status": report.status,
        "why": report.why,
        "model_id": fitted.model_id,
        "rows": report.rows,
        "evaluation": report.evaluation,
        "metrics": dict(report.metrics),
        "baselines": {name: dict(values) for name, values in report.baselines.items()},
        "top_features": report.top_features,
    }


def predict_figures(ledger: Ledger, recipe: str, as_of: datetime | None) -> dict[str, Any]:
    """Give how many subjects were predicted for."""
    rows = verbs.predict(ledger, recipe, as_of=as_of)
    return {"rows": rows.num_rows, "columns": rows.column_names}


def decide_figures(ledger: Ledger, play: str, as_of: datetime | None) -> dict[str, Any]:
    """Give a decided play's counts; a play whose predictions are missing says so."""
    decided = verbs.decide(ledger, play, as_of=as_of)
    return {
        "play": play,
        "decided": decided.decided,
        "by_action": decided.by_action,
        "by_arm": decided.by_arm,
        "removed_by": decided.removed_by,
        "degraded": decided.degraded,
        "expected_value": decided.expected_value,
        "notes": decided.notes,
    }
