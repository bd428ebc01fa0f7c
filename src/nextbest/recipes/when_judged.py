"""Judge *when* on subjects that were not learnt from, beside Kaplan-Meier for all and the logistic hazard alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.models import folds, hazard, person_periods
from nextbest.models import survival_metrics as metric

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from nextbest.models.person_periods import Spells
    from nextbest.recipes.when_rows import Rows

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Whole = NDArray[np.int64]

OURS, EVERYONE, LINE = "ours", "Kaplan-Meier for all", "logistic hazard alone"
FOLDS = 5
TIMES = (1, 2, 4)  # horizons ahead at which the probability of still being there is told and checked
_MOMENTS = 40
_LEAST = 1e-9
_ROWS_PER_GROUP = 200
_MOST_GROUPS = 40
_TENTHS = 10
LEVEL, _LEVEL_OF_POINTS = 0.9, 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What folds that had not learnt from them said of subjects at a moment: their curves, and what came of them.

    `who` is the place of the subject, which moments drawn may share; `since` is how long it had been there, `time` how
    long it was seen from then on, `observed` 1 where it left at its end. `marks` holds the same of moments drawn from
    all the time that subjects were seen.
    """

    borders: Vector
    who: Whole
    since: Vector
    time: Vector
    observed: Vector
    kept: Mapping[str, Matrix]
    marks: Mapping[str, Vector]

    def metrics(self, who: str, horizon: float) -> dict[str, float]:
        """Give `concordance, integrated_brier, log_loss, calibration_gap` of ours or of a baseline."""
        risk, moments = self.risk(who), self.moments
        found = {
            "concordance": metric.concordance(self.time, self.observed, risk),
            "integrated_brier": metric.integrated_brier(self.time, self.observed, self.ahead(who, moments), moments),
            "log_loss": float(self.losses(who).mean()),
            "calibration_gap": max(point["gap"] for point in self.gaps(who, horizon)),
        }
        return {name: round(value, 4) for name, value in found.items()}

    def intervals(self) -> dict[str, tuple[float, float]]:
        """Give the 95% intervals of our C, and of our lead over the logistic hazard in C and in log loss."""
        ours, line = self.risk(OURS), self.risk(LINE)
        _, low, high = metric.concordance_difference(self.time, self.observed, ours, line, who=self.who)
        lead = self.losses(OURS) - self.losses(LINE)
        half = 1.96 * metric.spread_of_sum((lead - lead.mean()) / len(lead), self.who)
        found = {
            "concordance": metric.concordance_interval(self.time, self.observed, ours, who=self.who),
            f"concordance minus {LINE}": (low, high),
            f"log_loss minus {LINE}": (float(lead.mean()) - half, float(lead.mean()) + half),
        }
        return {name: (round(a, 4), round(b, 4)) for name, (a, b) in found.items()}

    @property
    def moments(self) -> Vector:
        """Times ahead at which subjects left, a fortieth of them apart, without the last: nobody is left to judge."""
        ends = self.time[self.observed > 0]
        return np.unique(np.quantile(ends, np.linspace(0, 1, _MOMENTS + 1)[:-1], method="higher"))

    def risk(self, who: str) -> Vector:
        """Give one number that ranks: the chance to have left, averaged over the times at which subjects left.

        Harrell's C compares two subjects at the time the first leaves, so that is where the ranking has to be right.
        """
        ends = self.time[self.observed > 0]
        spread = np.quantile(ends, (np.arange(_MOMENTS) + 0.5) / _MOMENTS)
        risk: Vector = 1 - self.ahead(who, spread).mean(axis=1)
        return risk

    def ahead(self, who: str, times: Vector) -> Matrix:
        """Give the probability of still being there so long after the moment."""
        return hazard.from_now(tuple(self.borders), self.kept[who], self.since, tuple(times))

    def losses(self, who: str) -> Vector:
        """Give minus the log likelihood of what came of each: leaving in its period, or still there when last seen."""
        end = self.since + self.time
        period = np.clip(np.searchsorted(self.borders, end, side="left") - 1, 0, len(self.borders) - 2)
        begun = np.maximum(self.borders[period], self.since)
        times = np.column_stack([self.since, begun, self.borders[period + 1], end])
        now, first, after, seen = hazard.at(tuple(self.borders), self.kept[who], times).T
        likely = np.where(self.observed > 0, first - after, seen) / np.maximum(now, _LEAST)
        losses: Vector = -np.log(np.maximum(likely, _LEAST))
        return losses

    def gaps(self, who: str, horizon: float) -> list[dict[str, float]]:
        """Give, at a few times ahead, the largest gap of a tenth's mean prediction to its Kaplan-Meier."""
        found = []
        for times in TIMES:
            ahead = horizon * times
            if ahead > float(self.time.max()):
                break
            kept = self.ahead(who, np.array([ahead]))[:, 0]
            points = metric.calibration(self.time, self.observed, kept, ahead)
            gap = max(abs(p["predicted"] - p["observed"]) for p in points)
            found.append({"time": ahead, "gap": round(gap, 4)})
        return found or [{"time": horizon, "gap": float("nan")}]


def judge(rows: Rows, features: pa.Table, *, reach: float | None, horizon: float, seed: int) -> Held:
    """Give what five folds said of each other's subjects, from their beginning on.

    Where columns change in time, a beginning tells little: then from moments drawn from all the time they were seen.
    """
    spells, known = rows.spells, rows.known(features)
    borders = person_periods.cut(spells, widest=reach)
    fold = folds.assign((spells.cause > 0).astype(np.float64), FOLDS, seed=seed)
    chance = np.random.default_rng([seed, 1])
    marks, ages = _marks(spells, borders, chance)
    who = marks if rows.changes else np.arange(len(spells.exit))
    since = ages if rows.changes else spells.entry
    kept = {name: np.ones((len(who), len(borders))) for name in (OURS, LINE, EVERYONE)}
    # One curve for all folds: curves of their own would rank the folds, the wrong way round.
    usual = person_periods.rates(person_periods.expand(spells, borders, chance=chance), len(borders) - 1)
    kept[EVERYONE][:, 1:] = np.cumprod(1 - usual)

    def one(number: int) -> None:
        learning, judging = np.flatnonzero(fold != number), np.flatnonzero(fold[who] == number)
        made = hazard.fit(
            spells.take(learning), lambda spell, age: known(learning[spell], age), borders=borders, reach=reach,
            seed=seed, num_threads=1,
        )  # fmt: skip
        table = known(who[judging], since[judging])
        kept[OURS][judging] = hazard.curve(hazard.hazards(made, table, since[judging]))
        kept[LINE][judging] = hazard.curve(hazard.hazards(made, table, since[judging], linear=True))

    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(one, range(FOLDS)))
    of_marks = kept[OURS] if rows.changes else kept[OURS][marks]
    gone = 1 - hazard.from_now(tuple(borders), of_marks, ages, (horizon,))[:, 0]
    left = (spells.cause > 0).astype(np.float64)
    return Held(
        borders=borders, who=who, since=since, time=spells.exit[who] - since, observed=left[who], kept=kept,
        marks={"predicted": gone, "time": spells.exit[marks] - ages, "observed": left[marks]},
    )  # fmt: skip


def _marks(spells: Spells, borders: Vector, chance: np.random.Generator) -> tuple[Whole, Vector]:
    """Give as many moments as there are subjects, every period that a subject began being as likely as any other."""
    rows = person_periods.expand(spells, borders, chance=chance)
    place = chance.integers(0, len(rows.spell), len(spells.exit))
    spell, age = rows.spell[place], borders[rows.period[place]]
    seen = spells.exit[spell] > age
    return spell[seen], age[seen]


def interval(marks: Mapping[str, Vector], horizon: float) -> dict[str, Any]:
    """Give the 90% interval of the share that leaves within the horizon among subjects who score alike, for JSON."""
    groups = int(np.clip(len(marks["predicted"]) // _ROWS_PER_GROUP, 1, _MOST_GROUPS))
    found = _groups(marks, horizon, groups, LEVEL)
    return {
        "task": "classification",
        "level": LEVEL,
        "middle": [p["predicted"] for p in found],
        "below": [p["low"] - p["predicted"] for p in found],
        "above": [p["high"] - p["predicted"] for p in found],
        "least": None,
        "line": None,
    }


def calibration(marks: Mapping[str, Vector], horizon: float) -> list[dict[str, float]]:
    """Give, per tenth by prediction, the predicted and the observed share that left within the horizon."""
    found = _groups(marks, horizon, _TENTHS, _LEVEL_OF_POINTS)
    return [{name: round(value, 4) for name, value in point.items()} for point in found]


def _groups(marks: Mapping[str, Vector], horizon: float, groups: int, level: float) -> list[dict[str, float]]:
    """Give Kaplan-Meier's share of leavers in groups of alike predictions, with Jeffreys' interval.

    A share counts as so many rows as its variance is worth; those lost from sight are worth less.
    """
    from scipy.special import betaincinv

    at, found = np.array([horizon]), []
    for part in np.array_split(np.argsort(marks["predicted"], kind="stable"), groups):
        time, left = marks["time"][part], marks["observed"][part]
        gone = 1 - float(metric.kaplan_meier(time, left, at)[0])
        variance = float(metric.kaplan_meier_variance(time, left, at)[0])
        worth = gone * (1 - gone) / variance if variance > 0 else float((time >= horizon).sum())
        yes, no = gone * worth + 0.5, (1 - gone) * worth + 0.5
        found.append({
            "predicted": float(marks["predicted"][part].mean()),
            "observed": gone,
            "low": float(betaincinv(yes, no, (1 - level) / 2)) if gone > 0 else 0.0,
            "high": float(betaincinv(yes, no, (1 + level) / 2)) if gone < 1 else 1.0,
            "rows": len(part),
        })  # fmt: skip
    return found
