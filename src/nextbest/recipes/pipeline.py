"""How is the pipeline? Which open deals are stalled or unusually unlikely, and in which stage time and deals are lost.

fitted = nb.fit(ledger, Pipeline(), as_of="2026-01-01")
fitted.report.details["stages"]
nb.predict(ledger, fitted)["stalled"]
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.models import deal_health, deal_rates, stages
from nextbest.models.deal_history import UNKNOWN, spells
from nextbest.models.deal_rates import hashed
from nextbest.recipes import deal_words
from nextbest.recipes import deals as shared
from nextbest.recipes.deal_win import PREDICTION, DealWin, learnt_stages, probabilities
from nextbest.types import Fitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nextbest.models.deal_history import Deals
    from nextbest.recipes.deal_panel import Known
    from nextbest.recipes.deal_win_judged import Judgement

    Floats = NDArray[np.float64]

UNLIKELY = 0.1  # quantile of the win probabilities, at the same stage, of deals that were won
FEWEST_WON = 20  # at a stage: the 10th percentile of fewer is nearly their least
_LATEST_DAYS = 3650


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Health of every open deal and of every stage.

    `won_stages`, `lost_stages` name stages whose names do not say so.
    """

    name: str = field(default="pipeline", init=False)
    subject_type: str = field(default="deal", init=False)
    won_stages: tuple[str, ...] = ()
    lost_stages: tuple[str, ...] = ()
    level: float = 0.9
    seed: int = 0

    def fit(self, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401 (see types.Recipe)
        """Learn from the deals before `as_of`; `report.status` says when there are too few."""
        return self.fit_known(self._win().known(ledger, as_of), ledger, as_of=as_of)

    def predict(self, ledger: Any, fitted: Fitted, *, as_of: datetime) -> pa.Table:  # noqa: ANN401
        """Give one row per open deal; columns as in `predict_known`."""
        return self.predict_known(self._win().known(ledger, as_of), fitted)

    def seen(
        self,
        ledger: Any,  # noqa: ANN401 (a ledger)
        fitted: Fitted,
        *,
        as_of: datetime,
        subject_ids: Sequence[str] | None = None,
    ) -> pa.Table | None:
        """Give what the model of the win probability reads of the open deals."""
        return self._win().seen(ledger, fitted, as_of=as_of, subject_ids=subject_ids)

    def words(self, ledger: Any, fitted: Fitted, subject_id: str, *, as_of: datetime) -> tuple[str, ...]:  # noqa: ANN401
        """Give the state of an open deal, and what its win probability rests on."""
        rows = self.predict(ledger, fitted, as_of=as_of)
        row = rows.filter(pc.equal(rows["subject_id"], subject_id)).to_pylist()[0]
        won = self._win().words(ledger, fitted, subject_id, as_of=as_of)
        return *won[:1], *deal_words.health(row), *won[1:]

    def fit_known(self, known: Known, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401
        """Learn from deals as of a moment."""
        began = time.perf_counter()
        deals, seen = known.deals, spells(known.deals)
        won, judged = self._win().learn(known, ledger, as_of=as_of)
        settings = {"won_stages": list(self.won_stages), "lost_stages": list(self.lost_stages), "level": self.level,
                    "seed": self.seed}  # fmt: skip
        report = replace(won.report, recipe=self.name)
        if judged is None:
            return replace(won, recipe=self.name, settings=settings, report=report)
        after = deal_health.stalled_after(deals, seen)
        hazards = stages.learn(seen, stages=len(deals.stages))
        facts = {
            **won.extra,
            "hazards": hazards.document(),
            "stalled_after": [None if np.isnan(days) else float(days) for days in after],
            "unlikely_below": _unlikely_below(judged, deals),
        }
        details = {
            **report.details,
            "stages": deal_health.stage_table(deals, seen, seed=self.seed),
            "closing_dates": deal_health.closing_dates(deals),
        }
        why = " ".join([*_bottlenecks(details["stages"]), *_slip(details["closing_dates"]), report.why])
        report = replace(report, why=why, details=details, seconds=round(time.perf_counter() - began, 3))
        return Fitted(
            model_id=shared.facts_id(self.name, facts, as_of.isoformat(), won.parts), recipe=self.name,
            settings=settings, as_of=as_of.isoformat(), parts=won.parts, report=report, extra=facts,
        )  # fmt: skip

    def predict_known(self, known: Known, fitted: Fitted) -> pa.Table:
        """Give `subject_id, stage, days_in_stage, stalled, stalled_after_days`, `win_probability` with `_low`, `_high`,
        `unusually_unlikely`, `next_stage, next_stage_date`, `amount`.

        `stalled` and `unusually_unlikely` are null where too few won deals say what is usual; the date is when half of
        those that go on have gone on, null where none ever did.
        """  # noqa: D205 (the columns are the summary)
        deals = known.deals
        which = deals.open_at(deals.now)
        moment = np.full(len(which), deals.now)
        at = deals.rows_at(which, moment)
        names = {"subject_id": deals.ids.take(pa.array(which)), "stage": _named(deals, deals.row_stage[at])}
        middle, low, high = probabilities(fitted, known, which, moment, level=self.level)
        chance = {PREDICTION: middle, f"{PREDICTION}_low": low, f"{PREDICTION}_high": high}
        if not fitted.extra:
            return pa.table({**names, **chance})
        place = learnt_stages(fitted, deals, which, moment)
        days = deal_rates.standing(deals, fitted.extra)[2]
        limits = [np.array([np.nan if x is None else x for x in [*fitted.extra[n], None]], np.float64)[place]
                  for n in ("stalled_after", "unlikely_below")]  # fmt: skip
        wait, to = stages.typical_wait(stages.restore(fitted.extra["hazards"]), np.maximum(place, 0), days)
        unknown = (place == UNKNOWN) | ~np.isfinite(wait) | (wait > _LATEST_DAYS)
        return pa.table({
            **names,
            "days_in_stage": days,
            "stalled": pa.array(days > limits[0], mask=np.isnan(limits[0])),
            "stalled_after_days": pa.array(limits[0], from_pandas=True),
            **chance,
            "unusually_unlikely": pa.array(middle < limits[1], mask=np.isnan(limits[1])),
            "next_stage": self._next(fitted, deals, to, unknown),
            "next_stage_date": _dates(deals.now, wait, unknown),
            "amount": pa.array(deals.row_amount[at], from_pandas=True),
        })  # fmt: skip

    def _win(self) -> DealWin:
        return DealWin(won_stages=self.won_stages, lost_stages=self.lost_stages, level=self.level, seed=self.seed)

    @staticmethod
    def _next(fitted: Fitted, deals: Deals, to: NDArray[np.int64], unknown: NDArray[np.bool_]) -> pa.Array:
        """Give where most go from a deal's stage: a stage by its name, or won."""
        mine = {hashed(s, fitted.extra["salt"]): s for s in deals.stages}
        names = [mine.get(h) for h in fitted.extra["stages"]]
        there = np.where(unknown, len(names) + 1, to).tolist()
        return pa.array([[*names, "won", None][t] for t in there], pa.string())


def _unlikely_below(judged: Judgement, deals: Deals) -> list[float | None]:
    """Give, per stage, the win probability that nine of ten deals that were won had there before they taught."""
    found: list[float | None] = [None] * len(deals.stages)
    if judged.rows is None or judged.probability is None:  # everybody at a stage has its rate: nobody is unusual
        return found
    won = judged.rows.actual > 0
    deal, said = judged.rows.deal[won], judged.probability[won]
    stage = deals.row_stage[deals.rows_at(deal, judged.rows.moment[won])]
    for place in range(len(found)):
        if len(np.unique(deal[stage == place])) >= FEWEST_WON:
            found[place] = float(np.quantile(said[stage == place], UNLIKELY))
    return found


def _named(deals: Deals, stage: NDArray[np.int64]) -> pa.Array:
    return pa.array([None if s == UNKNOWN else deals.stages[s] for s in stage], pa.string())


def _dates(now: int, wait: Floats, unknown: NDArray[np.bool_]) -> pa.Array:
    today = datetime.fromtimestamp(now, tz=UTC).date()
    days = np.where(unknown, 0, wait)
    return pa.array(
        [None if u else today + timedelta(days=float(d)) for d, u in zip(days, unknown, strict=True)], pa.date32()
    )


def _bottlenecks(rows: list[dict[str, Any]]) -> list[str]:
    """Say where time and deals are lost, or that no stage stands out."""
    if len(rows) == 1:
        return []
    verb = {"time": "time is spent", "losses": "deals are lost"}
    said = [
        f"Most {verb[what]} in '{row['stage']}' ({row['share_of_' + what]:.0%})."
        for row in rows
        for what in filter(None, row["bottleneck"].split(", "))
    ]
    return said or ["No stage surely takes most of the time or of the losses."]


def _slip(said: dict[str, Any]) -> list[str]:
    if not said["deals"]:
        return []
    share, slip = said["share_over_by_the_date"], said["median_slip_days"]
    return [
        f"{share:.0%} of deals were over by the closing date first given; the median deal ended {slip:+.0f} days off."
    ]
