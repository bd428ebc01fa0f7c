"""Who is about to leave? From a table that says who left, or from events: who will not order in the next weeks.

    nb.fit(ledger, Churn(table="customers.csv", id="customerID", label="Churn", positive="Yes"))
    nb.fit(ledger, Churn(horizon_days=60), as_of="2026-01-01")

Both ways give `churn_probability` with the interval of the churn rate among subjects who score alike.
"""

from __future__ import annotations

import time as clock
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from nextbest.errors import DataError, UsageError
from nextbest.models import contributions, leaks
from nextbest.models.boosting import Boosting
from nextbest.models.unread import unread, with_notes
from nextbest.recipes import flat_table, judged, silence
from nextbest.recipes.fitting import model_id, not_enough, probabilities, training_subjects
from nextbest.types import Fitted, Report

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

PREDICTION = "churn_probability"
FEWEST_OF_A_CLASS = 30  # below, the AUC of even a good model has an interval wider than 0.2 (Hanley and McNeil 1982)
FOLDS = 5
LATEST_SHARE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Churn:
    """Churn by silence: no order in the `horizon_days` after a moment; or by a label, when a flat `table` is given.

    `table` is a path of a file or an Arrow table, `id` its subject column, `label` the column that says who left,
    `positive` the value that means so (may be left out for yes/no, true/false, 1/0), `time` a column that orders the
    rows: then the latest fifth judges. `keep` names columns to learn from although they look like leaks.
    """

    name: str = field(default="churn", init=False)
    horizon_days: int = 60
    table: str | pa.Table | None = None
    id: str | None = None
    label: str | None = None
    positive: str | None = None
    time: str | None = None
    keep: tuple[str, ...] = ()
    seed: int = 0

    def fit(self, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401 (see types.Recipe)
        """Learn from the table, or from the events before `as_of`; `report.status` says when there is too little."""
        began = clock.perf_counter()
        fitted = self._fit_table(ledger, as_of) if self.table is not None else self._fit_events(ledger, as_of)
        return replace(fitted, report=replace(fitted.report, seconds=round(clock.perf_counter() - began, 3)))

    def predict(self, ledger: Any, fitted: Fitted, *, as_of: datetime) -> pa.Table:  # noqa: ANN401
        """Give `subject_id, churn_probability, churn_probability_low, churn_probability_high`; null when unfitted.

        What the model could not read of a flat table stands in the notes (`models.unread.notes_of`).
        """
        if self.table is not None:
            table = flat_table.read(self.table)
            ids = pa.array(flat_table.subject_ids(table, self.id), pa.string())
            model = fitted.parts.get("model")
            notes = unread(model, table) if isinstance(model, Boosting) else ()
            return with_notes(probabilities(fitted, ids, table, PREDICTION), notes)
        features = silence.features_of(ledger, fitted.extra, as_of=as_of)
        return probabilities(fitted, features["subject_id"], features, PREDICTION)

    def _fit_table(self, ledger: Any, as_of: datetime) -> Fitted:  # noqa: ANN401
        if self.label is None:
            raise UsageError("Which column says who left? Give label (on the command line: --label COLUMN).")
        table = flat_table.read(self.table if self.table is not None else "")
        rows = flat_table.labelled(table, label=self.label, positive=self.positive, id_column=self.id)
        report = Report(
            recipe=self.name, status="ok", why=rows.note, as_of=as_of.isoformat(), rows=len(rows.actual),
            positives=int(rows.actual.sum()),
        )  # fmt: skip
        rarer = int(min(rows.actual.sum(), (1 - rows.actual).sum()))
        if rarer < FEWEST_OF_A_CLASS:
            why = (
                f"'{self.label}' is '{rows.positive}' in {report.positives} of {report.rows} rows; at least "
                f"{FEWEST_OF_A_CLASS} rows of either kind are needed. Add rows, or choose another label."
            )
            return not_enough(self.name, self._settings(), replace(report, why=why))
        when = None if self.time is None else flat_table.named(table, self.time, "time")
        split = None if when is None else judged.latest(flat_table.order(rows.features, when), LATEST_SHARE)
        missing = "" if split is None else self._missing_in(rows, split)
        if missing:
            return not_enough(self.name, self._settings(), replace(report, why=missing))
        if not rows.features.num_columns:
            raise DataError(
                f"The table has no column to learn from beside '{self.label}' and the id. Add what was known."
            )
        leaked = [x for x in leaks.find(rows.features, rows.actual, seed=self.seed) if x["column"] not in self.keep]
        features = rows.features.drop_columns([x["column"] for x in leaked])
        judgement, how = self._judge(rows, features, split)
        model = Boosting(seed=self.seed).fit(features, pa.table({"label": rows.actual}))
        report = replace(
            report,
            evaluation=how,
            metrics=judgement.metrics(),
            intervals=judgement.intervals(),
            baselines=judgement.baseline_metrics(),
            left_out=(*leaked, *model.left_out),
            top_features=contributions.top_features(model, features),
        )
        parts = {"model": training_subjects(ledger, model, rows.subject_ids)}
        return self._fitted(parts, report, {"positive": rows.positive})

    def _missing_in(self, rows: flat_table.Labelled, split: judged.Split) -> str:
        """Say which side of a split by time has too few of a class, or give ''."""
        for part, what in zip(
            split, ("earlier rows, to learn from", f"latest {LATEST_SHARE:.0%}, to judge by"), strict=True
        ):
            positives = int(rows.actual[part].sum())
            if min(positives, len(part) - positives) < FEWEST_OF_A_CLASS:
                return (
                    f"Of the {len(part)} {what}, by '{self.time}', '{self.label}' is '{rows.positive}' in {positives}; "
                    f"at least {FEWEST_OF_A_CLASS} rows of either kind are needed. Add rows, or leave out `time`: then "
                    f"{FOLDS} folds judge."
                )
        return ""

    def _judge(
        self, rows: flat_table.Labelled, features: pa.Table, split: judged.Split | None
    ) -> tuple[judged.Judged, str]:
        model = Boosting(seed=self.seed)
        if split is None:
            how = f"{FOLDS}-fold cross-validation, seed {self.seed}, calibrated inside every fold"
            return judged.cross_validated(features, rows.actual, model, count=FOLDS, seed=self.seed), how
        how = f"the latest {LATEST_SHARE:.0%} of rows by '{self.time}', learnt on the earlier ones"
        return judged.held_out(features, rows.actual, model, [split]), how

    def _fit_events(self, ledger: Any, as_of: datetime) -> Fitted:  # noqa: ANN401
        learnt = silence.learn(ledger, as_of=as_of, horizon_days=self.horizon_days, seed=self.seed)
        report = replace(learnt.report, recipe=self.name)
        if learnt.model is None:
            return not_enough(self.name, self._settings(), report)
        parts = {"model": training_subjects(ledger, learnt.model, learnt.subject_ids)}
        return self._fitted(parts, report, learnt.extra)

    def _fitted(self, parts: Mapping[str, Boosting], report: Report, extra: Mapping[str, Any]) -> Fitted:
        return Fitted(
            model_id=model_id(self.name, parts, report.as_of),
            recipe=self.name,
            settings=self._settings(),
            as_of=report.as_of,
            parts=parts,
            report=report,
            extra=extra,
        )

    def _settings(self) -> dict[str, Any]:
        """Give the settings as plain values; a table that was handed over in memory is not one of them."""
        return {
            "horizon_days": self.horizon_days,
            "table": None if isinstance(self.table, pa.Table) or self.table is None else str(self.table),
            "id": self.id,
            "label": self.label,
            "positive": self.positive,
            "time": self.time,
            "keep": list(self.keep),
            "seed": self.seed,
        }
