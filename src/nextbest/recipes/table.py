"""Learn a yes/no label from a flat table: one row per subject, whatever the label is called and whatever it means.

    asked = asked_by(recipe, prediction="churn_probability")
    fitted = fit(asked, ledger, as_of=as_of)
    predict(asked, fitted)                  ->  subject_id, churn_probability, churn_probability_low, _high

Columns that know the outcome are left out and named, the rest is learnt from and judged on rows that did not teach.
"""

from __future__ import annotations

import time as clock
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from nextbest.errors import DataError, UsageError
from nextbest.models import contributions, encode, encode_read, encode_steps, leaks
from nextbest.models.boosting import Boosting, fitted_state
from nextbest.models.scorecard import Scorecard
from nextbest.models.scorecard_table import points_table
from nextbest.models.unread import unread, with_notes
from nextbest.recipes import flat_table, judged, table_model
from nextbest.recipes.fitting import model_id, not_enough, probabilities, settings_of, training_subjects
from nextbest.recipes.table_model import LATEST_SHARE
from nextbest.types import Fitted, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    Also = Callable[[Report, judged.Judged, NDArray[np.int64], flat_table.Labelled], Report]

# From 20 rows of the rarer class on, the AUC of a useful ranking (0.7) is known to within 0.1 (Hanley and McNeil 1982,
# with many rows of the other class), so that it can be told from chance (0.5); and four stand in each of five folds.
FEWEST_OF_A_CLASS = 20
FEWEST_TO_JUDGE = 10  # of either class among the latest rows: to within 0.14
FEW = 100  # below, the ranking is told to be cautious: the AUC is not known to within 0.05
_EXPLAINED = (500, 250)  # rows taken apart to find the drivers: of small trees, of large ones
_LARGE = 20_000
_MOST_COMPARED = 50_000
_REPEATED = 0.01
_CHANCE = 0.5
QUESTION = "Which column is to be predicted?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a recipe asks of a table: its name, the public name of its prediction, and the settings people gave.

    `question` is said when `label` is missing; `settings` rebuild the recipe and are kept with what was learnt.
    `monotone` and `select` are those of `models.boosting.Boosting`; with `tune_seconds` or `tune_trials` settings are
    searched for (`models.tune`). `also` gives the report with what a recipe adds, from how it was judged, the places of
    the rows that judged (rising, as in the judgement), and all labelled rows.
    """

    recipe: str
    prediction: str
    table: str | pa.Table
    question: str = QUESTION
    id: str | None = None
    label: str | None = None
    positive: str | None = None
    time: str | None = None
    keep: tuple[str, ...] = ()
    model: str = "boosting"
    monotone: Mapping[str, str] = field(default_factory=dict)
    select: str | None = None
    tune_seconds: float = 0.0
    tune_trials: int = 0
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    also: Also | None = None


def asked_by(recipe: Any, *, prediction: str, question: str = QUESTION) -> Asked:  # noqa: ANN401 (any recipe)
    """Give what a recipe asks, its fields taken by their names; raises `UsageError` when it has no table."""
    if recipe.table is None:
        raise UsageError(f"The recipe '{recipe.name}' needs a table here. Give table (on the command line: --table).")
    shared = {f.name for f in fields(Asked)} & {f.name for f in fields(recipe)}
    taken = {name: getattr(recipe, name) for name in shared}
    return Asked(recipe=recipe.name, prediction=prediction, question=question, settings=settings_of(recipe), **taken)


def fit(asked: Asked, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401 (a ledger, or None)
    """Learn the label from the table and judge it; `report.status` says when there is too little to learn from."""
    began = clock.perf_counter()
    fitted = _fit(asked, ledger, as_of)
    return replace(fitted, report=replace(fitted.report, seconds=round(clock.perf_counter() - began, 3)))


def predict(asked: Asked, fitted: Fitted) -> pa.Table:
    """Give `subject_id`, the prediction by its public name and its `_low`, `_high`; null when nothing was learnt.

    What the model could not read stands in the notes (`models.unread.notes_of`).
    """
    table = flat_table.read(asked.table)
    ids = pa.array(flat_table.subject_ids(table, asked.id), pa.string())
    model = fitted.parts.get("model")
    notes = unread(model, table) if isinstance(model, Boosting) else ()
    return with_notes(probabilities(fitted, ids, table, asked.prediction), notes)


def _fit(asked: Asked, ledger: Any, as_of: datetime) -> Fitted:  # noqa: ANN401
    if asked.label is None:
        raise UsageError(f"{asked.question} Give label (on the command line: --label COLUMN).")
    table = flat_table.read(asked.table)
    rows = flat_table.labelled(table, label=asked.label, positive=asked.positive, id_column=asked.id)
    report = Report(
        recipe=asked.recipe, status="ok", why=rows.note, as_of=as_of.isoformat(), rows=len(rows.actual),
        positives=int(rows.actual.sum()),
    )  # fmt: skip
    when = None if asked.time is None else flat_table.named(table, asked.time, "time")
    split = None if when is None else judged.latest(flat_table.order(rows.features, when), LATEST_SHARE)
    missing = _too_few(asked, rows) or ("" if split is None else _missing_in(asked, rows, split))
    if missing:
        return not_enough(asked.recipe, asked.settings, replace(report, why=missing))
    if not rows.features.num_columns:
        raise DataError(f"The table has no column to learn from beside '{asked.label}' and the id. Add what was known.")
    examined = leaks.examine(rows.features, rows.actual, seed=asked.seed, label=asked.label)
    leaked = [x for x in examined.found if x["column"] not in asked.keep]
    features = rows.features.drop_columns([x["column"] for x in leaked])
    taught = table_model.learn(asked, rows, features, split)
    if taught is None:
        why = "No column can be learnt from: all are empty, constant or ids. Add what was known of each subject."
        return not_enough(asked.recipe, asked.settings, replace(report, why=f"{rows.note} {why}".strip()))
    model, judgement = taught.learnt.model, taught.learnt.judged
    told_of = (*asked.keep, *(x["column"] for x in model.left_out))
    cautions = [*_cautions(rows, judgement), *suspicions(examined.suspects, without=told_of)]
    said = replace(
        report,
        why=" ".join([*([rows.note] if rows.note else []), *cautions[: _is_few(rows)]]),
        evaluation=f"{taught.evaluation}; leaks were looked for in all rows",
        metrics=judgement.metrics(),
        intervals=judgement.intervals(),
        baselines=judgement.baseline_metrics(),
        details={
            **judgement.details(),
            "cautions": cautions,
            **taught.details,
            **_of_columns(asked, rows, model, features),
        },
        left_out=(*leaked, *model.left_out),
        top_features=_drivers(model, features),
    )
    if asked.also is not None:
        said = asked.also(said, judgement, taught.learnt.rows, rows)
    parts = {"model": training_subjects(ledger, model, rows.subject_ids)}
    return Fitted(
        model_id=model_id(asked.recipe, parts, report.as_of), recipe=asked.recipe, settings=asked.settings,
        as_of=report.as_of, parts=parts, report=said, extra={"positive": rows.positive},
    )  # fmt: skip


def _drivers(model: Any, features: pa.Table) -> tuple[Mapping[str, Any], ...]:  # noqa: ANN401 (any model)
    """Give the columns that move predictions most, as told by some of the rows."""
    rows = features.num_rows
    step = max(1, rows // _EXPLAINED[rows >= _LARGE])
    return contributions.top_features(model, features.take(pa.array(range(0, rows, step))))


def _of_columns(asked: Asked, rows: flat_table.Labelled, model: Any, features: pa.Table) -> dict[str, Any]:  # noqa: ANN401
    """Give what was done to the columns, their thin groups, and from when to when the rows are."""
    columns = encode_read.read(features, without=(encode.SUBJECT,))
    found: dict[str, Any] = {"groups": encode_steps.thin_groups(columns)}
    if isinstance(model, Boosting):
        found["preparation"] = encode_steps.steps(columns, fitted_state(model)[1])
    if isinstance(model, Scorecard):
        found["scorecard"] = points_table(model, features, rows.actual)
    if asked.time is not None:
        name = flat_table.named(flat_table.read(asked.table), asked.time, "time")
        found["dates"] = flat_table.dates(rows.features, name)
    return found


def suspicions(suspects: Sequence[Mapping[str, str]], *, without: Sequence[str]) -> list[str]:
    """Give a sentence per column that is learnt from though it may know the outcome; none for what somebody keeps."""
    return [f"'{x['column']}' is learnt from, but {x['why']}." for x in suspects if x["column"] not in without]


def _is_few(rows: flat_table.Labelled) -> bool:
    return bool(min(rows.actual.sum(), (1 - rows.actual).sum()) < FEW)


def _cautions(rows: flat_table.Labelled, judgement: judged.Judged) -> list[str]:
    """Say plainly what to be careful about; the first is about few rows when there are few."""
    found = []
    if _is_few(rows):
        found.append(
            f"Only {int(rows.actual.sum())} of {len(rows.actual)} rows are '{rows.positive}': the ranking is cautious,"
            f" its intervals are wide, and both will move as rows are added."
        )
    low, high = judgement.intervals()["auc"]
    if low <= _CHANCE:
        found.append(
            f"On rows that had not taught it, the ranking cannot be told from chance (AUC between {low:.2f} and"
            f" {high:.2f})."
        )
    ours = judgement.metrics()["auc"]
    for name, metrics in judgement.baseline_metrics().items():
        if metrics["auc"] >= ours:
            found.append(f"It does not rank better than {name}: AUC {ours:.3f} against {metrics['auc']:.3f}.")
    repeated = _repeated(rows.features)
    if repeated > _REPEATED:
        found.append(
            f"{repeated:.0%} of rows repeat another row in every column. If subjects are in twice, remove one."
        )
    return found


def _repeated(features: pa.Table) -> float:
    """Give the share of rows that repeat an earlier row; 0 for tables too large to compare quickly."""
    names = features.column_names
    if not 0 < features.num_rows <= _MOST_COMPARED or any(pa.types.is_nested(c.type) for c in features.columns):
        return 0.0
    distinct: int = features.group_by(names).aggregate([]).num_rows
    count: int = features.num_rows
    return 1 - distinct / count


def _too_few(asked: Asked, rows: flat_table.Labelled) -> str:
    """Say that one class is too rare to learn it, or give ''."""
    count, positives = len(rows.actual), int(rows.actual.sum())
    if not count:
        return f"No row has a label: '{asked.label}' is empty, or the table has no rows. {rows.note}".strip()
    if min(positives, count - positives) >= FEWEST_OF_A_CLASS:
        return ""
    return (
        f"'{asked.label}' is '{rows.positive}' in {positives} of {count} rows; at least {FEWEST_OF_A_CLASS} rows of"
        f" either kind are needed. Add rows, or choose another label."
    )


def _missing_in(asked: Asked, rows: flat_table.Labelled, split: judged.Split) -> str:
    """Say which side of a split by time has too few of a class, or give ''."""
    sides = (
        ("earlier rows, to learn from", FEWEST_OF_A_CLASS),
        (f"latest {LATEST_SHARE:.0%}, to judge by", FEWEST_TO_JUDGE),
    )
    for part, (what, least) in zip(split, sides, strict=True):
        positives = int(rows.actual[part].sum())
        if min(positives, len(part) - positives) < least:
            return (
                f"Of the {len(part)} {what}, by '{asked.time}', '{asked.label}' is '{rows.positive}' in {positives}; "
                f"at least {least} rows of either kind are needed. Add rows, or leave out `time`: then folds judge."
            )
    return ""
