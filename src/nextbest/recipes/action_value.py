"""The chance of a response to each action, learnt from a live play's own log; its learner `boosted` decides by it.

    nextbest fit action_value --set play=home_banner

One row is one decision that was made by the policy or by chance, live, not degraded, and whose answer is due: what was
known of the subject and the request, the action, and what describes it, all as served. Business as usual is left out:
why a caller chose what it did is not on record.
"""

from __future__ import annotations

import time as clock
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest.errors import UnknownNameError, UsageError, unknown
from nextbest.models.boosting import Boosting
from nextbest.policies import default, lift
from nextbest.recipes import action_rows, judged
from nextbest.recipes.fitting import model_id, not_enough, training_subjects
from nextbest.recipes.moments import against
from nextbest.types import Fitted, Report

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from nextbest.ledger import Ledger
    from nextbest.recipes.action_rows import Rows

NAME = "action_value"
LIFT = "lift of each action alone"
FEWEST = 30  # of either answer, to learn from and to judge on
JUDGING = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionValue:
    """The chance that `play`'s goal follows an action; kept under the name `action_value_<play>`."""

    name: str = NAME
    play: str = ""
    seed: int = 0
    per_subject: bool = False

    def fit(self, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401 (see types.Recipe)
        """Learn from the log up to now or `as_of`; judged on its last quarter, beside base rate and lifts."""
        began = clock.perf_counter()
        play = self._play(ledger)
        own = f"{NAME}_{self.play}"
        moment = _moment(ledger, as_of)
        report = Report(recipe=own, status="not_enough_data", as_of=moment.isoformat(timespec="seconds"))
        settings = {"recipe": NAME, "play": self.play, "seed": self.seed}
        try:
            rows = action_rows.read(ledger, play, as_of=moment)
        except UnknownNameError:
            return not_enough(own, settings, replace(report, why=f"No '{play.goal}' has been recorded yet."))
        split = _split(rows, play.goal_days)
        if lacking := _lacking(rows, split):
            return not_enough(own, settings, replace(report, why=lacking, rows=len(rows.actual)))
        features = action_rows.table(rows.seen)
        found = judged.learn(features, rows.actual, Boosting(seed=self.seed), split=split, seed=self.seed)
        beside = {**found.judged.baselines, LIFT: _lifts(rows, split)}
        judgement = replace(found.judged, baselines=beside)
        parts = {"model": training_subjects(ledger, found.model, [d.subject_id for d in rows.seen])}
        report = replace(
            report, status="ok", why=against(judgement, LIFT, "the lifts"), rows=len(rows.actual),
            positives=int(rows.actual.sum()), metrics=judgement.metrics(), intervals=judgement.intervals(),
            baselines=judgement.baseline_metrics(), left_out=found.model.left_out, details=judgement.details(),
            evaluation=f"out of time: learnt on {len(split[0]):,} earlier rows, judged on the last {len(split[1]):,}",
            seconds=round(clock.perf_counter() - began, 3),
        )  # fmt: skip
        return Fitted(
            model_id=model_id(own, parts, report.as_of), recipe=own, settings=settings, as_of=report.as_of,
            parts=parts, report=report, extra={"spread": judgement.metrics()["ece"], "columns": features.column_names},
        )  # fmt: skip

    def predict(self, ledger: Any, fitted: Fitted, *, as_of: datetime) -> pa.Table:  # noqa: ANN401
        """Give per action of the log: decisions, the share that responded, and the mean chance that the model gives."""
        rows = action_rows.read(ledger, self._play(ledger), as_of=_moment(ledger, as_of))
        chance = np.full(len(rows.actual), np.nan)
        if "model" in fitted.parts and rows.seen:
            chance = np.asarray(fitted.parts["model"].predict(action_rows.table(rows.seen))["prediction"], dtype=float)
        actions = np.array([d.action_id for d in rows.seen], dtype=object)
        each = [(a, actions == a) for a in dict.fromkeys(actions.tolist())]
        return pa.table({
            "action_id": pa.array([a for a, _ in each], pa.string()),
            "decisions": pa.array([int(at.sum()) for _, at in each], pa.int64()),
            "responded": pa.array([float(rows.actual[at].mean()) for _, at in each], pa.float64()),
            "response_probability": pa.array([float(chance[at].mean()) for _, at in each], pa.float64()),
        })  # fmt: skip

    def _play(self, ledger: Any) -> Any:  # noqa: ANN401 (a ledger, a play)
        known = default.plays(ledger)
        if not self.play:
            raise UsageError(f"Which play? Give play, such as --set play={next(iter(known))}.")
        if self.play not in known:
            raise unknown("play", self.play, known)
        return known[self.play]


def _moment(ledger: Ledger, as_of: datetime) -> datetime:
    """Give the moment up to which the log is read: the end of the loaded data means now, for the log goes on."""
    from nextbest.ledger.catalogue import last_event

    now, last = ledger.clock(), last_event(ledger)
    end = (min(now, last or now) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return now if as_of == end else min(as_of, now)


def _split(rows: Rows, goal_days: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the rows to learn from, whose answers were in when the first row to judge on was decided, and those."""
    if not len(rows.actual):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    cut = np.quantile(rows.ts, 1 - JUDGING)
    judging = np.flatnonzero(rows.ts >= cut)
    return np.flatnonzero(rows.ts + goal_days * 86_400 <= cut), judging


def _lacking(rows: Rows, split: tuple[NDArray[np.int64], NDArray[np.int64]]) -> str:
    for part, what in zip(split, ("to learn from", "to judge on"), strict=True):
        yes = int(rows.actual[part].sum())
        if min(yes, len(part) - yes) < FEWEST:
            return (
                f"Of {len(part):,} due decisions {what}, {yes:,} were answered and {len(part) - yes:,} were not; at"
                f" least {FEWEST} of either are needed. Let the play run longer; until then the learner `linear`"
                " learns from the first answer on."
            )
    return ""


def _lifts(rows: Rows, split: tuple[NDArray[np.int64], NDArray[np.int64]]) -> NDArray[np.float64]:
    """Give the chance of the rows to judge on by what each action adds to the base rate, as the lift learner has it."""
    learning, judging = split
    base = float(rows.actual[learning].mean())
    seen = lift.Evidence(
        action_ids=tuple(rows.seen[i].action_id for i in learning),
        base=np.full(len(learning), base),
        choice_probability=np.ones(len(learning)),
        responded=rows.actual[learning],
    )
    names = {rows.seen[i].action_id for i in learning}
    found = lift.learn(tuple(action_rows.action(n) for n in sorted(names)), seen)
    log_odds = {n: known.log_odds for n, known in found.by_action.items()}
    shift = np.array([log_odds.get(rows.seen[i].action_id, 0.0) for i in judging])
    return lift.sigmoid(lift.logit(np.full(len(judging), base)) + found.calibration + shift)
