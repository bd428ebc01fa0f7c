"""Who is about to leave, and when? From a table that says who left, from subscriptions, or from silence.

    nb.fit(ledger, Churn(table="customers.csv", id="customerID", label="Churn", positive="Yes"))
    nb.fit(ledger, Churn(table="customers.csv", id="customerID", label="Churn", duration="tenure", unit="months"))
    nb.fit(ledger, Churn(horizon_days=60), as_of="2026-01-01")

Every way gives `churn_probability` with the interval of the churn rate among subjects who score alike.
"""

from __future__ import annotations

import time as clock
from collections.abc import Mapping  # noqa: TC003 (the registry reads the types of the settings)
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa  # noqa: TC002 (the configuration builds this class from its annotations)

from nextbest.errors import UsageError, unknown
from nextbest.recipes import churn_subscription, churn_when, silence
from nextbest.recipes import table as flat
from nextbest.recipes.fitting import model_id, not_enough, probabilities, settings_of, training_subjects
from nextbest.recipes.table_model import refuse_without_table
from nextbest.types import Fitted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

PREDICTION = "churn_probability"
TABLE, DURATION, SUBSCRIPTION, SILENCE = WAYS = ("table", "duration", "subscription", "silence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Churn:
    """Churn by what there is: a flat `table`, with or without a `duration`; subscriptions; or silence after orders.

    `table` is a path of a file or an Arrow table, `id` its subject column, `label` the column that says who left,
    `positive` the value that means so (may be left out for yes/no, true/false, 1/0), `time` a column that orders the
    rows: then the latest fifth judges. `keep` names columns to learn from although they look like leaks.
    `duration` is the column that says how long everyone was there, in `unit` (days, weeks, months, years); `start` the
    column that says from when a row holds, where subjects have several. `horizon_periods` is the horizon in that unit.
    `model`, `monotone`, `select`, `tune_seconds` and `tune_trials` say how a label of a table is learnt: see
    docs/reference/learning.md. `by` chooses another way than the data suggest: table, duration, subscription, silence.
    """

    name: str = field(default="churn", init=False)
    horizon_days: int = 60
    table: str | pa.Table | None = None
    id: str | None = None
    label: str | None = None
    positive: str | None = None
    time: str | None = None
    duration: str | None = None
    start: str | None = None
    unit: str | None = None
    horizon_periods: float | None = None
    by: str | None = None
    keep: tuple[str, ...] = ()
    changeable: tuple[str, ...] = ()
    model: str = "boosting"
    monotone: Mapping[str, str] = field(default_factory=dict)
    select: str | None = None
    tune_seconds: float = 0.0
    tune_trials: int = 0
    seed: int = 0

    def fit(self, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401 (see types.Recipe)
        """Learn from what is there before `as_of`; `report.status` says when there is too little, `details` by what."""
        began = clock.perf_counter()
        by = self._by(ledger, as_of)
        if by != TABLE:
            refuse_without_table(self, boosting_only=True)
        if by == TABLE:
            fitted = flat.fit(self._asked(), ledger, as_of=as_of)
        elif by == DURATION:
            fitted = churn_when.fit(self, ledger, as_of=as_of)
        elif by == SUBSCRIPTION:
            fitted = churn_subscription.fit(self, ledger, as_of=as_of)
            by, fitted = self._or_silence(ledger, fitted, as_of)
        else:
            fitted = self._fit_silence(ledger, as_of)
        seconds = round(clock.perf_counter() - began, 3)
        details = {**fitted.report.details, "by": by}
        return replace(fitted, report=replace(fitted.report, seconds=seconds, details=details))

    def predict(self, ledger: Any, fitted: Fitted, *, as_of: datetime) -> pa.Table:  # noqa: ANN401
        """Give `subject_id, churn_probability, churn_probability_low, churn_probability_high`; null when unfitted.

        By duration also the time left, the date and the curve; by subscription the two kinds of leaving.
        """
        by = fitted.report.details.get("by") or self._by(ledger, as_of)
        if by in (TABLE, DURATION) and self.table is None:
            raise UsageError("This model learnt from a table, not from events. Give table (and id) to predict with it.")
        if by == TABLE:
            return flat.predict(self._asked(), fitted)
        if by == DURATION:
            return churn_when.predict(self, fitted, as_of=as_of)
        if by == SUBSCRIPTION:
            return churn_subscription.predict(ledger, fitted, as_of=as_of)
        features = silence.features_of(ledger, fitted.extra, as_of=as_of)
        return probabilities(fitted, features["subject_id"], features, PREDICTION)

    def seen(
        self,
        ledger: Any,  # noqa: ANN401
        fitted: Fitted,
        *,
        as_of: datetime,
        subject_ids: Sequence[str] | None = None,
    ) -> pa.Table | None:
        """Give what the model reads of these subjects or of all; None where it is simply their rows or features."""
        by = fitted.report.details.get("by")
        if by == DURATION:
            return churn_when.seen(self, fitted, subject_ids)
        return churn_subscription.seen(ledger, fitted, subject_ids, as_of=as_of) if by == SUBSCRIPTION else None

    def words(self, ledger: Any, fitted: Fitted, subject_id: str, *, as_of: datetime) -> tuple[str, ...]:  # noqa: ANN401
        """Give what no column says about a subject: that they are gone, gave notice, or what moves either way."""
        by = fitted.report.details.get("by")
        if by == DURATION:
            return churn_when.words(self, fitted, subject_id)
        return churn_subscription.words(ledger, fitted, subject_id, as_of=as_of) if by == SUBSCRIPTION else ()

    def _by(self, ledger: Any, as_of: datetime) -> str:  # noqa: ANN401
        """Give the way that was set, or that suits what is there."""
        if self.by is not None and self.by not in WAYS:
            raise unknown("way to tell churn", self.by, WAYS)
        if self.by == DURATION and self.duration is None:
            raise UsageError("Which column says how long everyone was there? Give duration.")
        if self.by is not None:
            return self.by
        if self.table is not None:
            return TABLE if self.duration is None else DURATION
        return SUBSCRIPTION if churn_subscription.suits(ledger, as_of) else SILENCE

    def _asked(self) -> flat.Asked:
        return flat.asked_by(self, prediction=PREDICTION, question="Which column says who left?")

    def _or_silence(self, ledger: Any, fitted: Fitted, as_of: datetime) -> tuple[str, Fitted]:  # noqa: ANN401
        """Give churn by silence where subscriptions tell too little and orders tell enough, unless `by` is set."""
        if fitted.report.status == "ok" or self.by is not None:
            return SUBSCRIPTION, fitted
        silent = self._fit_silence(ledger, as_of)
        if silent.report.status != "ok":
            return SUBSCRIPTION, fitted
        why = f"By silence, as subscriptions tell too little: {fitted.report.why} {silent.report.why}"
        return SILENCE, replace(silent, report=replace(silent.report, why=why))

    def _fit_silence(self, ledger: Any, as_of: datetime) -> Fitted:  # noqa: ANN401
        learnt = silence.learn(ledger, as_of=as_of, horizon_days=self.horizon_days, seed=self.seed)
        report = replace(learnt.report, recipe=self.name)
        if learnt.model is None:
            return not_enough(self.name, settings_of(self), report)
        parts = {"model": training_subjects(ledger, learnt.model, learnt.subject_ids)}
        return Fitted(
            model_id=model_id(self.name, parts, report.as_of),
            recipe=self.name,
            settings=settings_of(self),
            as_of=report.as_of,
            parts=parts,
            report=report,
            extra=learnt.extra,
        )
