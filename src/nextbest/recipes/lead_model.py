"""The model of leads that `lead_score` and `sales_ready` share: learnt from the ledger's leads or from a flat table."""

from __future__ import annotations

import time as clock
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.features.sets import feature_set
from nextbest.models import folds
from nextbest.models.unread import notes_of, with_notes
from nextbest.recipes import capacity, flat_table, judged, lead_parts, leads, moments
from nextbest.recipes import table as flat
from nextbest.recipes.fitting import model_id, not_enough, probabilities, settings_of, training_subjects
from nextbest.recipes.table_model import refuse_without_table
from nextbest.recipes.timeline import DAY_US, moment_of
from nextbest.types import Fitted, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from nextbest.features.language import Feature
    from nextbest.recipes.leads import Goal
    from nextbest.recipes.moments import Learnt, Panel

    Vector = NDArray[np.float64]
    Also = Callable[[Fitted, Panel, Panel], Fitted]

PREDICTION = "conversion_probability"
QUESTION = "Which column says who converted?"
BY_AGE = "age of the lead alone"
# Below 30 conversions an AUC is rough, which is said; below 10 its interval holds everything from chance to perfect.
FEWEST = 10
_PARTS = 5


class Asking(Protocol):
    """The settings that a recipe about leads has."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def goal(self) -> str: ...  # noqa: D102
    @property
    def horizon_days(self) -> int: ...  # noqa: D102
    @property
    def capacity(self) -> float: ...  # noqa: D102
    @property
    def engagement(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def table(self) -> str | pa.Table | None: ...  # noqa: D102
    @property
    def time(self) -> str | None: ...  # noqa: D102
    @property
    def model(self) -> str: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Leads with their probability and its two parts: log-odds that add up, with `base`, to the score."""

    said: pa.Table
    who: Vector
    did: Vector
    base: float

    def table(self) -> pa.Table:
        """Give the public columns."""
        found = {"subject_id": self.said["subject_id"]}
        for end in ("", "_low", "_high"):
            found[f"lead_score{end}"] = pc.multiply(self.said[f"{PREDICTION}{end}"], 100.0)
        found |= {f"{PREDICTION}{end}": self.said[f"{PREDICTION}{end}"] for end in ("", "_low", "_high")}
        found["fit_score"] = pa.array(lead_parts.percent(self.base + self.who), from_pandas=True)
        found["engagement_score"] = pa.array(lead_parts.percent(self.base + self.did), from_pandas=True)
        return with_notes(pa.table(found), notes_of(self.said))


def fit(recipe: Asking, ledger: Any, *, as_of: datetime, also: Also | None = None) -> Fitted:  # noqa: ANN401
    """Learn who converts; `report.status` says when there is too little.

    `also` gives the fitted recipe with what is learnt beyond, from rows to learn from and rows to judge by.
    """
    if recipe.table is not None:
        return _fit_table(recipe, ledger, as_of, also)
    refuse_without_table(recipe)
    began = clock.perf_counter()
    learnt, goal = learn(recipe, ledger, as_of)
    settings = settings_of(recipe)
    report = replace(learnt.report, seconds=round(clock.perf_counter() - began, 3))
    if learnt.model is None or goal is None:
        return not_enough(recipe.name, settings, report)
    parts = {"model": training_subjects(ledger, learnt.model, learnt.subject_ids)}
    fitted = Fitted(
        model_id=model_id(recipe.name, parts, report.as_of), recipe=recipe.name, settings=settings,
        as_of=report.as_of, parts=parts, report=report,
        extra={**learnt.extra, "engagement": list(lead_parts.engaged(learnt.model.columns, recipe.engagement))},
    )  # fmt: skip
    if also is None or learnt.learning is None or learnt.judging is None:
        return fitted
    return also(fitted, learnt.learning, learnt.judging)


def predict(recipe: Asking, ledger: Any, fitted: Fitted, *, as_of: datetime) -> Scored:  # noqa: ANN401
    """Give every lead with its probability and parts; of the table's rows, or of all who have not converted yet."""
    if recipe.table is not None:
        rows = flat_table.read(recipe.table)
        said = flat.predict(_asked(recipe), fitted)
    else:
        rows = seen(recipe, ledger, fitted, as_of=as_of)
        said = probabilities(fitted, rows["subject_id"], rows, PREDICTION)
    return scored(fitted, said, rows)


def scored(fitted: Fitted, said: pa.Table, rows: pa.Table) -> Scored:
    """Give probabilities with their two parts; parts that are not known, when nothing was learnt, are NaN."""
    if "model" not in fitted.parts:
        unknown = np.full(rows.num_rows, np.nan)
        return Scored(said=said, who=unknown, did=unknown, base=float("nan"))
    who, did, base = lead_parts.parts(fitted.parts["model"], rows, fitted.extra["engagement"])
    return Scored(said=said, who=who, did=did, base=base)


def seen(
    recipe: Asking,
    ledger: Any,  # noqa: ANN401
    fitted: Fitted,
    *,
    as_of: datetime,
    subject_ids: Sequence[str] | None = None,
) -> pa.Table:
    """Give what the model reads as of a moment: of these leads, or of everyone who has not converted before it."""
    features = moments.needed(feature_set(ledger), fitted.extra)
    table = leads.rows(ledger, features, as_of=as_of, dated=False)
    if subject_ids is not None:
        return table.filter(pc.is_in(table["subject_id"], value_set=pa.array(subject_ids, pa.string())))
    goal = leads.goal(ledger, fitted.extra.get("goal", recipe.goal), as_of=as_of)
    return table if goal is None else _without(table, goal.happened.whom(-(2**62), 2**62))


def learn(recipe: Asking, ledger: Any, as_of: datetime) -> tuple[Learnt, Goal | None]:  # noqa: ANN401
    """Give what is learnt from the ledger's leads, and what counted as converting."""
    goal = leads.goal(ledger, recipe.goal, as_of=as_of)
    if goal is None or not goal.conversions():
        why = (
            f"Nobody is known to have converted: no {', '.join(leads.GOALS)} in the ledger. Load won deals with their"
            " contacts, orders, or leads with the date of their conversion; or give a table and its label."
        )
        report = Report(recipe=recipe.name, status="not_enough_data", why=why, as_of=as_of.isoformat(), positives=0)
        return moments.Learnt(report=report), None
    features = feature_set(ledger)

    def rows(cut: int) -> Panel:
        return panel(ledger, features, goal, cut, recipe.horizon_days)

    learnt = moments.learn(
        moments.Asked(
            recipe=recipe.name, horizon_days=recipe.horizon_days, span=goal.happened.span(as_of), rows=rows,
            words=_words(recipe, goal), baselines=_baselines, against=BY_AGE, against_word="the age of a lead",
            history=leads.first_known(ledger, as_of), fewest=FEWEST, model=recipe.model, seed=recipe.seed,
            keep={"features": [f.name for f in features], "goal": goal.name},
        ),
        as_of=as_of,
    )  # fmt: skip
    if learnt.judgement is None or learnt.judging is None:
        return learnt, goal
    came = -learnt.judging.features[leads.AGE].to_numpy(zero_copy_only=False)
    report = _finished(recipe, learnt.report, learnt.judgement, came)
    return replace(learnt, report=replace(report, why=f"Converting means: {goal.said}. {report.why}")), goal


def panel(ledger: Any, features: Sequence[Feature], goal: Goal, cut: int, horizon_days: int) -> Panel:  # noqa: ANN401
    """Give one row per lead that was known and had not converted before the cut, 1 where it converted after it."""
    table = leads.rows(ledger, features, as_of=moment_of(cut), dated=True)
    table = _without(table, goal.happened.whom(-(2**62), cut))
    return moments.labelled(table, goal.happened.whom(cut, cut + horizon_days * DAY_US))


def _without(table: pa.Table, converted: pa.Array) -> pa.Table:
    return table.filter(pc.invert(pc.is_in(table["subject_id"], value_set=converted)))


def _baselines(learning: Panel, judging: Panel) -> Mapping[str, Vector]:
    return {BY_AGE: moments.columns_alone([leads.AGE], learning, judging)}


def _words(recipe: Asking, goal: Goal) -> moments.Words:
    return moments.Words(
        events="conversions and leads",
        happened=f"converted within {recipe.horizon_days} days ({goal.said})",
        happened_not="did not",
        judged_on="which leads converted after",
        load="leads and what became of them",
        more="more leads",
        nobody=(
            "No leads are known: nobody was there before they converted. A lead is a person who has come into sight, "
            "by the date they were created or by something they did, and has not converted yet (not ordered, where "
            "orders count). Load leads with the date they were created, or visits and messages from before that."
        ),
    )


# --- from a flat table ------------------------------------------------------------------------------------------------


def _fit_table(recipe: Asking, ledger: Any, as_of: datetime, more: Also | None) -> Fitted:  # noqa: ANN401
    taught: list[flat_table.Labelled] = []

    def also(report: Report, judgement: judged.Judged, places: NDArray[np.int64], rows: flat_table.Labelled) -> Report:
        taught.append(rows)
        return _finished(recipe, report, judgement, came(recipe, rows.features)[places])

    fitted = flat.fit(replace(_asked(recipe), also=also), ledger, as_of=as_of)
    if "model" not in fitted.parts:
        return fitted
    columns = getattr(fitted.parts["model"], "columns", ())
    engagement = list(lead_parts.engaged(columns, recipe.engagement))
    fitted = replace(fitted, extra={**fitted.extra, "engagement": engagement})
    return fitted if more is None else more(fitted, *_held_apart(recipe, taught[0], columns))


def _held_apart(recipe: Asking, rows: flat_table.Labelled, columns: Sequence[str]) -> tuple[Panel, Panel]:
    """Give a table's rows in two: to learn from, and a fifth to judge by, the latest or one drawn by lot."""
    if recipe.time is None:
        lot = folds.assign(rows.actual, _PARTS, seed=recipe.seed)
        split = np.flatnonzero(lot > 0), np.flatnonzero(lot == 0)
    else:
        split = judged.latest(came(recipe, rows.features), 1 / _PARTS)
    features = rows.features.select(columns)
    learning, judging = (
        moments.Panel(features=features.take(pa.array(part)), actual=rows.actual[part]) for part in split
    )
    return learning, judging


def came(recipe: Asking, features: pa.Table) -> Vector:
    """Give numbers that put a table's rows in the order in which they came: by time, else as they stand."""
    if recipe.time is None:
        return np.arange(features.num_rows, dtype=np.float64)
    return flat_table.order(features, flat_table.named(features, recipe.time, "time"))


def _asked(recipe: Asking) -> flat.Asked:
    return flat.asked_by(recipe, prediction=PREDICTION, question=QUESTION)


def _finished(recipe: Asking, report: Report, judgement: judged.Judged, came: Vector) -> Report:
    """Give the report with the capture at capacity, and with its cautions said where people read."""
    known = np.where(np.isfinite(came), came, np.nanmax(came, initial=0.0) if np.isfinite(came).any() else 0.0)
    told = capacity.told(
        report, judgement.actual, judgement.ours, known, capacity=recipe.capacity, seed=recipe.seed
    )  # fmt: skip
    cautions = [c for c in report.details.get("cautions", ()) if c not in told.why]
    return replace(told, why=" ".join([told.why, *cautions]))
