"""Who is about to leave? From a table that says who left, or from events: who will not order in the next weeks.

    nb.fit(ledger, Churn(table="customers.csv", id="customerID", label="Churn", positive="Yes"))
    nb.fit(ledger, Churn(horizon_days=60), as_of="2026-01-01")

Both ways give `churn_probability` with the interval of the churn rate among subjects who score alike.
"""

from __future__ import annotations

import time as clock
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa  # noqa: TC002 (the configuration builds this class from its annotations)

from nextbest.recipes import silence
from nextbest.recipes import table as flat
from nextbest.recipes.fitting import model_id, not_enough, probabilities, training_subjects
from nextbest.types import Fitted

if TYPE_CHECKING:
    from datetime import datetime

PREDICTION = "churn_probability"


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
        if self.table is not None:
            return flat.fit(self._asked(), ledger, as_of=as_of)
        began = clock.perf_counter()
        fitted = self._fit_events(ledger, as_of)
        return replace(fitted, report=replace(fitted.report, seconds=round(clock.perf_counter() - began, 3)))

    def predict(self, ledger: Any, fitted: Fitted, *, as_of: datetime) -> pa.Table:  # noqa: ANN401
        """Give `subject_id, churn_probability, churn_probability_low, churn_probability_high`; null when unfitted."""
        if self.table is not None:
            return flat.predict(self._asked(), fitted)
        features = silence.features_of(ledger, fitted.extra, as_of=as_of)
        return probabilities(fitted, features["subject_id"], features, PREDICTION)

    def _asked(self) -> flat.Asked:
        return flat.asked_by(self, prediction=PREDICTION, question="Which column says who left?")

    def _fit_events(self, ledger: Any, as_of: datetime) -> Fitted:  # noqa: ANN401
        learnt = silence.learn(ledger, as_of=as_of, horizon_days=self.horizon_days, seed=self.seed)
        report = replace(learnt.report, recipe=self.name)
        if learnt.model is None:
            return not_enough(self.name, flat.settings_of(self), report)
        parts = {"model": training_subjects(ledger, learnt.model, learnt.subject_ids)}
        return Fitted(
            model_id=model_id(self.name, parts, report.as_of),
            recipe=self.name,
            settings=flat.settings_of(self),
            as_of=report.as_of,
            parts=parts,
            report=report,
            extra=learnt.extra,
        )
