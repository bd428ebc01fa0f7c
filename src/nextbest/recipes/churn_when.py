"""Churn from a table that says how long everyone has been there: whether they leave soon, and when.

    Churn(table="customers.csv", id="customerID", label="Churn", duration="tenure", unit="months")

Every row is a subject who was there for its duration and then left, or is still there (a hazard per period, see
`models.hazard`). What is said holds from now on, given that they are still there.
"""

from __future__ import annotations

import time as clock
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest.errors import DataError
from nextbest.models import contributions, encode, hazard, intervals, leaks
from nextbest.models import survival_metrics as metric
from nextbest.recipes import churn_words, flat_table, when_judged, when_rows
from nextbest.recipes.fitting import model_id, not_enough, settings_of, training_subjects
from nextbest.types import Fitted, Report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from nextbest.recipes.when_judged import Held
    from nextbest.recipes.when_rows import Rows

    Vector = NDArray[np.float64]

BY = "duration"
FEWEST_OF_A_CLASS = 30
FEWEST_ROWS = 60
_TENTH = 10
_EPOCH = 719_163  # the ordinal of 1970-01-01
_LATEST_DAYS = 365 * 200  # no date further away is given
_SHARES = {"": 0.5, "_low": 0.95, "_high": 0.05}


def fit(recipe: Any, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401 (a Churn; a ledger, or None)
    """Learn when subjects leave and judge it; `report.status` says when there is too little to learn from."""
    began = clock.perf_counter()
    rows = when_rows.read(recipe)
    report = Report(
        recipe=recipe.name, status="ok", why=rows.note, as_of=as_of.isoformat(), rows=len(rows.subject_ids),
        positives=int(rows.spells.cause.sum()),
    )  # fmt: skip
    missing = _missing(recipe, rows)
    if missing:
        return not_enough(recipe.name, settings_of(recipe), replace(report, why=missing))
    features, left_out = _readable(recipe, rows)
    horizon = _horizon(recipe, rows)
    reach = horizon if rows.changes else None
    held = when_judged.judge(rows, features, reach=reach, horizon=horizon, seed=recipe.seed)
    made = hazard.fit(rows.spells, rows.known(features), borders=held.borders, reach=reach, seed=recipe.seed)
    model = made.models[0]
    extra = {
        "by": BY, "hazard": made.facts(), "horizon": horizon, "unit": when_rows.unit_of(recipe),
        "positive": rows.positive, "interval": when_judged.interval(held.marks, horizon),
    }  # fmt: skip
    parts = {"model": training_subjects(ledger, model, rows.subject_ids)}
    sample = hazard.seen(made, features, rows.stop)
    report = replace(
        report,
        why=" ".join(x for x in (rows.note, _against(held)) if x),
        evaluation=f"{when_judged.FOLDS}-fold cross-validation over subjects, seed {recipe.seed}",
        metrics=held.metrics(when_judged.OURS, horizon),
        intervals=held.intervals(),
        baselines={n: held.metrics(n, horizon) for n in (when_judged.EVERYONE, when_judged.LINE)},
        left_out=(*left_out, *model.left_out),
        top_features=contributions.top_features(model, sample),
        details=_details(recipe, rows, held, extra),
        seconds=round(clock.perf_counter() - began, 3),
    )
    return Fitted(
        model_id=model_id(recipe.name, parts, report.as_of), recipe=recipe.name, settings=settings_of(recipe),
        as_of=report.as_of, parts=parts, report=report, extra=extra,
    )  # fmt: skip


def predict(recipe: Any, fitted: Fitted, *, as_of: datetime) -> pa.Table:  # noqa: ANN401
    """Give per subject, from now on: `churn_probability` within the horizon, the time left, the date, the curve.

    Null for those who are gone. `survival_2_months` is the probability of still being there two months from now.
    """
    table = flat_table.read(recipe.table)
    ids, features, since, gone = when_rows.latest(recipe, table, str(fitted.extra.get("positive", "")))
    if "model" not in fitted.parts:
        none = pa.nulls(len(ids), pa.float64())
        names = ("churn_probability", "churn_probability_low", "churn_probability_high")
        return pa.table({"subject_id": ids, **dict.fromkeys(names, none)})
    known = np.isfinite(since) & ~gone
    made, horizon = hazard.restore(fitted.extra["hazard"], [fitted.parts["model"]]), fitted.extra["horizon"]
    now = np.where(known, since, 0.0)
    kept = hazard.curve(hazard.hazards(made, features, now))
    ahead = [horizon * times for times in when_judged.TIMES]
    there = hazard.from_now(made.borders, kept, now, ahead)
    left = {
        f"remaining_median{end}": hazard.remaining(made.borders, kept, now, share) for end, share in _SHARES.items()
    }
    low, high = intervals.apply(fitted.extra["interval"], 1 - there[:, 0])
    numbers = {
        "churn_probability": 1 - there[:, 0], "churn_probability_low": low, "churn_probability_high": high, **left,
        **{name: there[:, i] for i, name in enumerate(_survival_names(ahead, fitted.extra["unit"]))},
    }  # fmt: skip
    columns = {name: pa.array(values, mask=~known | ~np.isfinite(values)) for name, values in numbers.items()}
    dates = _dates(left, known, fitted.extra["unit"], as_of)
    return pa.table({"subject_id": ids, **columns, **dates})


def seen(recipe: Any, fitted: Fitted, subject_ids: Sequence[str] | None) -> pa.Table:  # noqa: ANN401
    """Give the rows that the model reads now about these subjects, or about all who are still there."""
    ids, features, since, gone = when_rows.latest(recipe, flat_table.read(recipe.table), str(fitted.extra["positive"]))
    names = ids.to_pylist()
    place = [i for i, n in enumerate(names) if (not gone[i] if subject_ids is None else n in subject_ids)]
    made = hazard.restore(fitted.extra["hazard"], [fitted.parts["model"]])
    rows = hazard.seen(made, features.take(place), np.nan_to_num(since[place]))
    return rows.append_column("subject_id", pa.array([names[i] for i in place], pa.string()))


def words(recipe: Any, fitted: Fitted, subject_id: str) -> tuple[str, ...]:  # noqa: ANN401
    """Give that a subject has left, where they have: of the others the columns tell."""
    positive = str(fitted.extra["positive"])
    ids, _, _, gone = when_rows.latest(recipe, flat_table.read(recipe.table), positive)
    place = ids.to_pylist().index(subject_id)
    return churn_words.gone(recipe.label, positive) if gone[place] else ()


# --- what is learnt from ----------------------------------------------------------------------------------------------


def _missing(recipe: Any, rows: Rows) -> str:  # noqa: ANN401
    """Say what is missing to learn when subjects leave, or give ''."""
    spells = rows.spells
    count, gone = len(spells.exit), int((spells.cause > 0).sum())
    first = float(spells.exit[spells.cause > 0].min(initial=np.inf))
    stayed = int((spells.exit > first).sum())
    if gone >= FEWEST_OF_A_CLASS and stayed >= FEWEST_OF_A_CLASS and count >= FEWEST_ROWS:
        return ""
    return (
        f"Of {count} subjects {gone} left ('{recipe.label}' is '{rows.positive}') and {stayed} were there longer than"
        f" the first who left; at least {FEWEST_OF_A_CLASS} of either and {FEWEST_ROWS} subjects are needed. Add rows."
    )


def _readable(recipe: Any, rows: Rows) -> tuple[pa.Table, list[Mapping[str, str]]]:  # noqa: ANN401
    """Give the columns to learn from, and those that give the time or the label away or name a subject, with why."""
    features, latest = rows.features, rows.features.take(rows.last)
    time, observed = rows.spells.exit, (rows.spells.cause > 0).astype(np.float64)
    found: dict[str, Mapping[str, str]] = {}
    for why in (
        *leaks.find_for_time(latest, time, observed, seed=recipe.seed),
        *leaks.find(latest, observed, seed=recipe.seed, label=recipe.label),
    ):
        if why["column"] not in recipe.keep:
            found.setdefault(why["column"], why)
    features = features.drop_columns(list(found))
    if not features.num_columns:
        raise DataError(
            f"The table has no column to learn from beside '{recipe.label}', '{recipe.duration}' and the id."
        )
    # What names a subject is told from one row per subject: repeated over periods, ids look like categories.
    alone = encode.learn(features.take(rows.last), seed=recipe.seed)[0].left_out
    named = [x for x in alone if x["column"] not in found]
    return features.drop_columns([x["column"] for x in named]), [*found.values(), *named]


def _horizon(recipe: Any, rows: Rows) -> float:  # noqa: ANN401
    """Give the horizon in the unit of the durations: as set, or a tenth of the longest where the unit is unknown."""
    if recipe.horizon_periods is not None:
        return float(recipe.horizon_periods)
    unit, longest = when_rows.unit_of(recipe), float(rows.spells.exit.max())
    horizon = float(recipe.horizon_days) / when_rows.DAYS[unit] if unit else longest / _TENTH
    # Durations in whole months say nothing about parts of a month.
    whole = bool((rows.stop == np.round(rows.stop)).all())
    return float(max(1, round(horizon))) if whole else horizon


# --- what is said -----------------------------------------------------------------------------------------------------


def _against(held: Held) -> str:
    """Say by how much the model beats the logistic hazard alone, or that it does not."""
    ours, line = held.metrics(when_judged.OURS, 1.0)["log_loss"], held.metrics(when_judged.LINE, 1.0)["log_loss"]
    low, high = held.intervals()[f"log_loss minus {when_judged.LINE}"]
    lead = f"log loss {ours:.3f} against {line:.3f}, {ours - line:+.3f} ({low:+.3f} to {high:+.3f})"
    sure = "beats" if high < 0 else "is surely worse than" if low > 0 else "does not surely beat"
    errors = [held.metrics(who, 1.0)["integrated_brier"] for who in (when_judged.OURS, when_judged.LINE)]
    but = (
        f" Its integrated Brier error is higher: {errors[0]:.4f} against {errors[1]:.4f}."
        if errors[0] > errors[1]
        else ""
    )
    return f"It {sure} the logistic hazard alone: {lead}.{but}"


def _details(recipe: Any, rows: Rows, held: Held, extra: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401
    horizon, unit, spells = extra["horizon"], extra["unit"], rows.spells
    moments = np.unique(np.concatenate([[0.0], held.borders]))
    everyone = metric.kaplan_meier(spells.exit, (spells.cause > 0).astype(np.float64), moments)
    cautions = []
    if not unit:
        cautions.append(
            f"The unit of '{recipe.duration}' is not known: no date is given, and churn_probability is within the next"
            f" {horizon:g} of it. Set unit (days, weeks, months, years), or horizon_periods."
        )
    if rows.changes:
        cautions.append("Columns that change are taken as last known; what they will become is not guessed.")
    return {
        "by": BY,
        "unit": unit,
        "horizon": horizon,
        "periods": len(held.borders) - 1,
        "calibration": when_judged.calibration(held.marks, horizon),
        "survival_calibration": held.gaps(when_judged.OURS, horizon),
        "survival": [{"time": float(t), "kept": round(float(k), 4)} for t, k in zip(moments, everyone, strict=True)],
        "cautions": cautions,
    }


def _survival_names(ahead: Sequence[float], unit: str) -> list[str]:
    """Give `survival_2_months`, or `survival_2` where the unit is not known."""
    return [f"survival_{t:.3g}".replace(".", "_") + (f"_{unit}" if unit else "") for t in ahead]


def _dates(left: Mapping[str, Vector], known: NDArray[np.bool_], unit: str, as_of: datetime) -> dict[str, pa.Array]:
    """Give the date by which half of alike subjects have left, and its 90% interval; null where it is out of sight."""
    if not unit:
        return {}
    today = as_of.date().toordinal() - _EPOCH
    found = {}
    for name, wait in left.items():
        days = wait * when_rows.DAYS[unit]
        near = known & np.isfinite(days) & (days < _LATEST_DAYS)
        day = today + np.where(near, days, 0).astype(np.int32)
        found[name.replace("remaining_median", "expected_churn_date")] = pa.array(day, pa.int32(), mask=~near).cast(
            pa.date32()
        )
    return found
