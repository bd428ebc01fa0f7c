"""The chance of any event within a horizon: buys of a category, opens, upgrades, redeems a coupon.

    nb.fit(ledger, Propensity(event="order_line", where="category == 'PRODUCE'", horizon_days=28))
    nb.fit(ledger, Propensity(table="searches.csv", label="is_booking", time="date_time"))

Several are declared in nextbest.toml, each under its own name, and give `<own name>_probability`.
"""

from __future__ import annotations

import time as clock
from collections.abc import Mapping  # noqa: TC003 (the registry reads the types of the settings)
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import ConfigError, UsageError
from nextbest.features.build import build
from nextbest.features.expression import evaluate, parse
from nextbest.features.language import Feature, distinct_names
from nextbest.features.sets import feature_set
from nextbest.recipes import fitting, moments, timeline
from nextbest.recipes import table as flat
from nextbest.recipes.fitting import model_id, not_enough, probabilities, training_subjects
from nextbest.recipes.table_model import refuse_without_table
from nextbest.recipes.timeline import DAY_US, moment_of
from nextbest.types import Fitted, Report

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from nextbest.recipes.moments import Learnt, Panel

RECENCY, HABIT = "days since it last happened alone", "recency and frequency of the event alone"
_WINDOWS_DAYS = (30, 90, 365)


@dataclass(frozen=True, slots=True, kw_only=True)
class Propensity:
    """The chance that an `event` (a kind of the ledger) for which `where` holds comes within `horizon_days`.

    `audience` says who is asked, by features as of the moment ("" = everyone with an event before it). Or a label of a
    flat `table`, as in churn. `name` is the recipe's own name in nextbest.toml.
    """

    name: str = "propensity"
    event: str = ""
    where: str = ""
    horizon_days: int = 30
    audience: str = ""
    table: str | pa.Table | None = None
    id: str | None = None
    label: str | None = None
    positive: str | None = None
    time: str | None = None
    keep: tuple[str, ...] = ()
    changeable: tuple[str, ...] = ()
    model: str = "boosting"
    monotone: Mapping[str, str] = field(default_factory=dict)
    select: str | None = None
    tune_seconds: float = 0.0
    tune_trials: int = 0
    seed: int = 0

    @property
    def prediction(self) -> str:
        """The public name of the probability."""
        return f"{self.name}_probability"

    def fit(self, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401 (see types.Recipe)
        """Learn from the table, or from the events before `as_of`; `report.status` says when there is too little."""
        if self.table is not None:
            return flat.fit(self._asked(), ledger, as_of=as_of)
        refuse_without_table(self)
        began = clock.perf_counter()
        learnt = self._learn(ledger, as_of)
        report = replace(learnt.report, seconds=round(clock.perf_counter() - began, 3))
        if learnt.model is None:
            return not_enough(self.name, self._settings(), report)
        parts = {"model": training_subjects(ledger, learnt.model, learnt.subject_ids)}
        return Fitted(
            model_id=model_id(self.name, parts, report.as_of), recipe=self.name, settings=self._settings(),
            as_of=report.as_of, parts=parts, report=report, extra=learnt.extra,
        )  # fmt: skip

    def predict(self, ledger: Any, fitted: Fitted, *, as_of: datetime) -> pa.Table:  # noqa: ANN401
        """Give `subject_id`, `<name>_probability` and its `_low`, `_high`; null when nothing was learnt."""
        if self.table is not None:
            return flat.predict(self._asked(), fitted)
        rows = self.seen(ledger, fitted, as_of=as_of)
        return probabilities(fitted, rows["subject_id"], rows, self.prediction)

    def seen(
        self,
        ledger: Any,  # noqa: ANN401
        fitted: Fitted,
        *,
        as_of: datetime,
        subject_ids: Sequence[str] | None = None,
    ) -> pa.Table:
        """Give what the model reads as of a moment: of these subjects, or of everyone in the audience."""
        if self.table is not None:
            raise UsageError(f"The recipe '{self.name}' learnt from a table: its rows are there, not in the ledger.")
        features = self._features(ledger)
        if fitted.extra:
            features = moments.needed(features, fitted.extra)
        rows = build(ledger, features, as_of=as_of, subject_ids=subject_ids)
        return rows if subject_ids is not None else self._in_audience(rows)

    def _learn(self, ledger: Any, as_of: datetime) -> Learnt:  # noqa: ANN401
        if not self.event:
            raise UsageError("Which event? Give event, such as event='order_line' (and where), or a table and label.")
        happened = timeline.read(ledger, self.event, before=as_of, where=self.where)
        if len(happened.ts) and happened.wanted is not None and not happened.wanted.any():
            return self._unmet(ledger, as_of, len(happened.ts))
        features = self._features(ledger) if len(happened.ts) else ()

        def rows(cut: int) -> Panel:
            table = self._in_audience(build(ledger, features, as_of=moment_of(cut)))
            return moments.labelled(table, happened.whom(cut, cut + self.horizon_days * DAY_US))

        return moments.learn(
            moments.Asked(
                recipe=self.name, horizon_days=self.horizon_days, span=happened.span(as_of), rows=rows,
                words=self._words(), baselines=self._baselines, against=HABIT, against_word="habit",
                model=self.model, seed=self.seed, keep={"features": [f.name for f in features]},
            ),
            as_of=as_of,
        )  # fmt: skip

    def _unmet(self, ledger: Any, as_of: datetime, events: int) -> Learnt:  # noqa: ANN401
        """Give the answer where no event meets the condition: more history would not help, another condition does."""
        held = timeline.unmet(ledger, self.event, before=as_of, where=self.where)
        why = f"None of the {events:,} '{self.event}' events meets the condition {self.where}. {held} Correct `where`."
        report = Report(recipe=self.name, status="not_enough_data", as_of=as_of.isoformat(), why=why)
        return moments.Learnt(report=report)

    def _features(self, ledger: Any) -> tuple[Feature, ...]:  # noqa: ANN401
        """Give the workspace's features, and how often and how long ago the event itself happened."""
        own = event_features(self.name, self.event, self.where)
        named = {f.name for f in own}
        return distinct_names((*own, *(f for f in feature_set(ledger) if f.name not in named)))

    def _in_audience(self, rows: pa.Table) -> pa.Table:
        if not self.audience.strip():
            return rows
        held = evaluate(parse(self.audience, gives="boolean"), rows)
        return rows.filter(pc.fill_null(held, fill_value=False))

    def _baselines(self, learning: Panel, judging: Panel) -> Mapping[str, NDArray[Any]]:
        last = _recency(self.name)
        return {
            RECENCY: moments.columns_alone([last], learning, judging),
            HABIT: moments.columns_alone([last, f"{self.name}_90d", f"{self.name}_ever"], learning, judging),
        }

    def _words(self) -> moments.Words:
        such = f"'{self.event}'" + (f" with {self.where}" if self.where else "")
        return moments.Words(
            events=f"'{self.event}' events",
            happened=f"had {such} within {self.horizon_days} days",
            happened_not="had none",
            judged_on="what happened after",
            load=f"events of the kind '{self.event}'",
            more="more history",
        )

    def _asked(self) -> flat.Asked:
        return flat.asked_by(self, prediction=self.prediction, question="Which column says whether it happened?")

    def _settings(self) -> dict[str, Any]:
        return settings_of(self)


def settings_of(recipe: Propensity) -> dict[str, Any]:
    """Give the settings that rebuild it under its own name."""
    plain = fitting.settings_of(recipe)
    plain.pop("name")
    return plain if recipe.name == "propensity" else {"recipe": "propensity", **plain}


def event_features(name: str, event: str, where: str) -> tuple[Feature, ...]:
    """Give how often an event happened in some windows and ever, and how long ago it did last and first."""
    if name.endswith(("_ever", "_probability")) or not name.isidentifier():
        raise ConfigError(f"A propensity cannot be named '{name}': small letters, digits and _, a letter first.")
    counts = [
        Feature(name=f"{name}_{d}d", kind=event, aggregate="count", where=where, window_days=d) for d in _WINDOWS_DAYS
    ]
    ever = Feature(name=f"{name}_ever", kind=event, aggregate="count", where=where)
    last = Feature(name=_recency(name), kind=event, aggregate="recency", where=where)
    first = Feature(name=f"days_since_first_{name}", kind=event, aggregate="tenure", where=where)
    gap = Feature(name=f"average_days_between_{name}", kind=event, aggregate="gap_mean", where=where)
    return (*counts, ever, last, first, gap)


def _recency(name: str) -> str:
    return f"days_since_last_{name}"
