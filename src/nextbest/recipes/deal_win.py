"""Which open deals will be won? From the life of the deals, or from a flat table of deals with a result.

    nb.fit(ledger, DealWin(), as_of="2026-01-01")
    nb.predict(ledger, fitted)["win_probability"]

Every deal is seen at its opening and at regular moments after it. The win rate of its stage is the answer to beat, and
the answer that is given where nothing beats it clearly.
"""

from __future__ import annotations

import time as clock
from collections.abc import Mapping  # noqa: TC003 (the registry reads the types of the settings)
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.models import contributions, deal_features, stage_rates
from nextbest.models.boosting import Boosting
from nextbest.models.deal_history import NEVER, UNKNOWN, spells
from nextbest.models.deal_rates import hashed
from nextbest.models.stage_rates import lean
from nextbest.recipes import deal_words
from nextbest.recipes import deals as shared
from nextbest.recipes import table as flat
from nextbest.recipes.deal_panel import Known, at, panel
from nextbest.recipes.deal_win_judged import Judgement, judge, told
from nextbest.recipes.fitting import not_enough, settings_of, training_subjects
from nextbest.recipes.judged import MAJORITY
from nextbest.recipes.table_model import refuse_without_table
from nextbest.types import Fitted, Report

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from nextbest.models.deal_history import Deals

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

PREDICTION = "win_probability"
QUESTION = "Which column says whether the deal was won?"
FEWEST_OF_A_CLASS = 10  # below, the interval of even the overall win rate is wider than 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class DealWin:
    """The probability that an open deal is won in the end.

    `won_stages`, `lost_stages` name stages whose names do not say so. With a flat `table` (one row per deal) see
    `table`, `id`, `label`, `positive`, `time`, `keep`, `model` and what follows it of the churn recipe. `level`
    is of the intervals.
    """

    name: str = field(default="deal_win", init=False)
    subject_type: str = field(default="deal", init=False)
    won_stages: tuple[str, ...] = ()
    lost_stages: tuple[str, ...] = ()
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
    level: float = 0.9
    seed: int = 0

    def fit(self, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401 (see types.Recipe)
        """Learn from the table, or from the deals before `as_of`; `report.status` says when there is too little."""
        if self.table is not None:
            return _told(flat.fit(flat.asked_by(self, prediction=PREDICTION, question=QUESTION), ledger, as_of=as_of))
        refuse_without_table(self, boosting_only=True)
        began = clock.perf_counter()
        fitted = self.fit_known(self.known(ledger, as_of), ledger, as_of=as_of)
        return replace(fitted, report=replace(fitted.report, seconds=round(clock.perf_counter() - began, 3)))

    def predict(self, ledger: Any, fitted: Fitted, *, as_of: datetime) -> pa.Table:  # noqa: ANN401
        """Give `subject_id, win_probability, win_probability_low, win_probability_high` of every deal open then."""
        if self.table is not None:
            return flat.predict(flat.asked_by(self, prediction=PREDICTION, question=QUESTION), fitted)
        known = self.known(ledger, as_of)
        which = known.deals.open_at(known.deals.now)
        said = probabilities(fitted, known, which, np.full(len(which), known.deals.now), level=self.level)
        names = (PREDICTION, f"{PREDICTION}_low", f"{PREDICTION}_high")
        return pa.table({"subject_id": known.deals.ids.take(pa.array(which)), **dict(zip(names, said, strict=True))})

    def seen(
        self,
        ledger: Any,  # noqa: ANN401 (a ledger)
        fitted: Fitted,
        *,
        as_of: datetime,
        subject_ids: Sequence[str] | None = None,
    ) -> pa.Table | None:
        """Give what the model reads of the deals open then, of all or of those asked for; None for a flat table."""
        if self.table is not None or "model" not in fitted.parts:
            return None
        known = self.known(ledger, as_of)
        which = known.deals.open_at(known.deals.now)
        table = at(known, which, np.full(len(which), known.deals.now)).features
        return (
            table if subject_ids is None else table.filter(pc.is_in(table["subject_id"], pa.array(list(subject_ids))))
        )

    def words(self, ledger: Any, fitted: Fitted, subject_id: str, *, as_of: datetime) -> tuple[str, ...]:  # noqa: ANN401
        """Give what an open deal's probability rests on beside its columns; nothing for a flat table."""
        if self.table is not None or "rates" not in fitted.extra:
            return ()
        deals = self.known(ledger, as_of).deals
        which = deals.open_at(deals.now)
        deal = which[np.array(deals.ids.take(pa.array(which)).to_pylist()) == subject_id]
        stage = learnt_stages(fitted, deals, deal, np.full(len(deal), deals.now))
        return deal_words.win(fitted, deals, deal, stage, level=self.level) if len(deal) else ()

    def known(self, ledger: Any, as_of: datetime) -> Known:  # noqa: ANN401
        """Give deals, activities and accounts as of a moment."""
        return shared.known(ledger, as_of=as_of, won_stages=self.won_stages, lost_stages=self.lost_stages)

    def fit_known(self, known: Known, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401
        """Learn from deals as of a moment."""
        return self.learn(known, ledger, as_of=as_of)[0]

    def learn(self, known: Known, ledger: Any, *, as_of: datetime) -> tuple[Fitted, Judgement | None]:  # noqa: ANN401
        """Give what is learnt from deals as of a moment, and how it was judged; None for too few deals."""
        deals = known.deals
        report = Report(recipe=self.name, status="ok", as_of=as_of.isoformat(), rows=int((deals.closed < NEVER).sum()),
                        positives=int((deals.won & (deals.closed < NEVER)).sum()))  # fmt: skip
        missing = shared.too_few(deals, FEWEST_OF_A_CLASS)
        if missing:
            return not_enough(self.name, settings_of(self), replace(report, why=missing)), None
        judged = judge(known, report, seed=self.seed)
        rates = stage_rates.stage_rates(deals, spells(deals), before=deals.now)
        salt = f"{len(deals.ids):032x}"  # the same deals give the same model
        facts = {
            "salt": salt, "stages": [hashed(s, salt) for s in deals.stages], "rates": rates.document(),
            "weight": judged.weight, "history": deals.history,
        }  # fmt: skip
        parts, report = {}, judged.report
        if judged.weight > 0:
            rows = panel(known)
            model = Boosting(seed=self.seed).fit(rows.features, pa.table({"label": rows.actual}))
            parts = {"model": training_subjects(ledger, model, deals.ids.to_pylist())}
            top = contributions.top_features(model, rows.features)
            report = replace(report, left_out=(*report.left_out, *model.left_out), top_features=top)
        fitted = Fitted(
            model_id=shared.facts_id(self.name, facts, as_of.isoformat(), parts), recipe=self.name,
            settings=settings_of(self), as_of=as_of.isoformat(), parts=parts, report=report, extra=facts,
        )  # fmt: skip
        return fitted, judged


def _told(fitted: Fitted) -> Fitted:
    """Give what was learnt from a table with a sentence on how well it predicts."""
    report = fitted.report
    if "auc" not in report.intervals:
        return fitted
    said = told("What the table holds", report.metrics["auc"], report.intervals["auc"])
    ours, theirs = report.metrics["log_loss"], report.baselines[MAJORITY]["log_loss"]
    worse = f"The plain rate of wins does no worse: log-loss {theirs:.4f} against {ours:.4f}." if ours >= theirs else ""
    why = " ".join(filter(None, [report.why, said, worse]))
    return replace(fitted, report=replace(report, why=why))


def probabilities(
    fitted: Fitted, known: Known, deal: Ints, moment: Ints, *, level: float
) -> tuple[Floats, Floats, Floats]:
    """Give the win probability of deals at moments, with its interval; NaN when nothing was learnt."""
    if not fitted.extra:
        none = np.full(len(deal), np.nan)
        return none, none, none
    rates = stage_rates.restore(fitted.extra["rates"])
    stage = learnt_stages(fitted, known.deals, deal, moment)
    found, (low, high) = rates.rate(stage), rates.interval(stage, level)
    if "model" not in fitted.parts or not len(deal):
        return found, low, high
    table = deal_features.features(known.deals, deal, moment, done=known.done, accounts=known.accounts)
    said = fitted.parts["model"].predict(table)
    model = [said[name].to_numpy(zero_copy_only=False) for name in ("prediction", "low", "high")]
    weight = fitted.extra["weight"]
    middle, low, high = (lean(a, b, weight) for a, b in zip((found, low, high), model, strict=True))
    return middle, np.minimum(low, middle), np.maximum(high, middle)


def learnt_stages(fitted: Fitted, deals: Deals, deal: Ints, moment: Ints) -> Ints:
    """Give the place among the learnt stages of each deal's stage; -1 for one that was not there."""
    learnt = {name: place for place, name in enumerate(fitted.extra["stages"])}
    places = [learnt.get(hashed(s, fitted.extra["salt"]), UNKNOWN) for s in deals.stages]
    stage = deals.row_stage[deals.rows_at(deal, moment)]
    return np.where(stage == UNKNOWN, UNKNOWN, np.array([*places, UNKNOWN])[stage])
