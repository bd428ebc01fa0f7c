"""How do sales people differ, and which activities go with winning? Luck and the mix of deals taken off first.

    nb.fit(ledger, RepPerformance(), as_of="2026-01-01")
    nb.fit(ledger, RepPerformance(table="deals.csv", rep="agent", label="stage", positive="Won", lost="Lost"))

Nothing here was drawn by lot: what goes with winning need not cause it, and the answer says so.
"""

from __future__ import annotations

import time as clock
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest.errors import UsageError
from nextbest.models import cross_fit, encode, evaluate, logistic, rep_effects
from nextbest.recipes import rep_activities, rep_deals
from nextbest.recipes.deals import facts_id
from nextbest.recipes.fitting import not_enough, settings_of
from nextbest.types import Fitted, Report

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

FEWEST_REPS, FEWEST_OF_A_KIND = 3, 30
FEWEST_EACH = 2  # on average: with one deal each, luck and rep are the same thing
_Z90 = 1.6448536269514722
_ASSOCIATION = "Reps did not get their deals by lot: this is what goes with whom, not what anybody caused."


@dataclass(frozen=True, slots=True, kw_only=True)
class RepPerformance:
    """Win rate and length of deals per rep, as of the ledger's deals or a flat `table` of deals.

    Of a table: `rep`, `label` with `positive` (won) and `lost` (other values are not over), `days` (one column, or the
    dates of opening and end), `mix` (what a rep was given), `activities` (counts of what was done). Activities of the
    ledger count in the first `landmark_days` of deals that lasted longer: later ones know how it ended.
    """

    name: str = field(default="rep_performance", init=False)
    per_subject: bool = field(default=False, init=False)
    table: str | pa.Table | None = None
    rep: str = "owner_id"
    label: str = "won"
    positive: str = "true"
    lost: str = ""
    days: tuple[str, ...] = ()
    mix: tuple[str, ...] = ()
    activities: tuple[str, ...] = ()
    landmark_days: int = 14
    seed: int = 0

    def fit(self, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401 (see types.Recipe)
        """Compare reps on the deals that were over before the moment; `not_enough_data` when there are too few."""
        began = clock.perf_counter()
        deals = self._deals(ledger, as_of)
        report = Report(recipe=self.name, status="ok", as_of=as_of.isoformat(), rows=len(deals.won))
        missing = _missing(deals)
        if missing:
            return not_enough(self.name, settings_of(self), replace(report, why=missing))
        offset = _offset(deals, seed=self.seed)
        wins = rep_effects.of_wins(deals.won, offset, deals.rep, seed=self.seed)
        length = _lengths(deals, seed=self.seed)
        found = rep_activities.association(deals, offset + wins.effect[deals.rep])
        rows = _rows(deals, offset, wins, length)
        report = replace(
            report,
            why=_said(wins, length, found),
            positives=int(deals.won.sum()),
            evaluation="reps exchanged by lot 999 times; the mix of a deal is judged by deals that did not teach it",
            metrics=_figures(deals, offset, wins, length),
            details={"reps": rows, "activities": found, "cautions": [_ASSOCIATION]},
            seconds=round(clock.perf_counter() - began, 3),
        )
        facts = {"reps": rows}
        return Fitted(
            model_id=facts_id(self.name, facts, report.as_of), recipe=self.name, settings=settings_of(self),
            as_of=report.as_of, parts={}, report=report, extra=facts,
        )  # fmt: skip

    def predict(self, ledger: Any, fitted: Fitted, *, as_of: datetime) -> pa.Table:  # noqa: ANN401, ARG002
        """Give per rep deals, wins, the win rate that the mix gives, and what goes with the rep, with intervals."""
        # A model that was kept comes back with its facts by name: the order here is the one to read them in.
        return pa.Table.from_pylist([{name: row[name] for name in _COLUMNS} for row in fitted.extra["reps"]])

    def _deals(self, ledger: Any, as_of: datetime) -> rep_deals.Deals:  # noqa: ANN401
        if self.landmark_days < 1:
            raise UsageError(f"landmark_days is at least 1. Got {self.landmark_days}.")
        if self.table is None:
            return rep_deals.from_ledger(ledger, as_of=as_of, landmark_days=self.landmark_days)
        return rep_deals.from_table(
            self.table, rep=self.rep, label=self.label, positive=self.positive, lost=self.lost, days=self.days,
            mix=self.mix, activities=self.activities,
        )  # fmt: skip


_LENGTH = ("length_ratio_low", "length_ratio", "length_ratio_high")
_COLUMNS = (
    "rep", "deals", "wins", "win_rate", "expected_win_rate", "difference_low", "difference", "difference_high", *_LENGTH
)  # fmt: skip


def _missing(deals: rep_deals.Deals) -> str:
    won = int(deals.won.sum())
    lost = len(deals.won) - won
    if len(deals.won) < FEWEST_EACH * len(deals.reps) and len(deals.reps) >= FEWEST_REPS:
        return (
            f"There are {len(deals.reps):,} reps for {len(deals.won):,} deals, fewer than {FEWEST_EACH} deals each: "
            "what a rep adds cannot be told from the deal. Is the column of reps one of ids? Name the one that says "
            "whose deal it was (rep), or load more deals per rep."
        )
    if len(deals.reps) < FEWEST_REPS or min(won, lost) < FEWEST_OF_A_KIND:
        return (
            f"There are {won} won and {lost} lost deals of {len(deals.reps)} reps; at least {FEWEST_OF_A_KIND} of"
            f" either and {FEWEST_REPS} reps are needed. Load more deals, with who owned them."
        )
    return ""


# --- what the mix says ------------------------------------------------------------------------------------------------


def _offset(deals: rep_deals.Deals, *, seed: int) -> Vector:
    """Give the log-odds of every deal by its mix, learnt from other deals; the overall rate where there is no mix."""
    rate = float(deals.won.mean())
    return _told_by_mix(deals.mix, deals.won, task="classification", usual=float(np.log(rate / (1 - rate))), seed=seed)


def _lengths(deals: rep_deals.Deals, *, seed: int) -> rep_effects.Effects | None:
    """Give effects on the logarithm of the length of won deals; None when lengths are not known."""
    use = (deals.won > 0) & np.isfinite(deals.days) & (deals.days >= 0)
    if use.sum() < FEWEST_OF_A_KIND:
        return None
    length = np.log1p(deals.days[use])
    mix = deals.mix.filter(pa.array(use)) if deals.mix.num_columns else deals.mix
    usual = _told_by_mix(mix, length, task="regression", usual=float(length.mean()), seed=seed)
    return rep_effects.of_amounts(length - usual, deals.rep[use], reps=len(deals.reps), seed=seed)


def _told_by_mix(mix: pa.Table, actual: Vector, *, task: str, usual: float, seed: int) -> Vector:
    told = np.full(len(actual), usual)
    if not mix.num_columns:
        return told
    for learning, judging in cross_fit.splits(actual, 5, seed=seed):
        encoder, matrix = encode.learn(mix.take(learning), seed=seed)
        if encoder.columns:
            line = logistic.fit(matrix, actual[learning], task=task, levels=encoder.categories, seed=seed)
            told[judging] = logistic.scores(line, encode.matrix(encoder, mix.take(judging)))
    return told


# --- what is said ----------------------------------------------------------------------------------------------------


def _rows(
    deals: rep_deals.Deals, offset: Vector, wins: rep_effects.Effects, length: rep_effects.Effects | None
) -> list[dict[str, Any]]:
    """Give one row per rep, best first: the win rate with everybody's deals, beside the usual one."""

    def rate(effect: float) -> float:
        return float((1 / (1 + np.exp(-np.clip(offset + effect, -35, 35)))).mean())

    usual, rows = rate(0.0), []
    for i, name in enumerate(deals.reps):
        mine = deals.rep == i
        ends = [rate(wins.effect[i] + sign * _Z90 * wins.error[i]) - usual for sign in (-1, 0, 1)]
        row = {
            "rep": name, "deals": int(mine.sum()), "wins": int(deals.won[mine].sum()),
            "win_rate": round(float(deals.won[mine].mean()), 4),
            "expected_win_rate": round(float((1 / (1 + np.exp(-offset[mine]))).mean()), 4),
            "difference_low": round(ends[0], 4), "difference": round(ends[1], 4), "difference_high": round(ends[2], 4),
        }  # fmt: skip
        rows.append({**row, **_length_of(length, i)})
    return sorted(rows, key=lambda row: (-row["difference"], row["rep"]))


def _length_of(length: rep_effects.Effects | None, place: int) -> dict[str, float | None]:
    if length is None:
        return dict.fromkeys(_LENGTH)
    ends = [float(np.exp(length.effect[place] + sign * _Z90 * length.error[place])) for sign in (-1, 0, 1)]
    return dict(zip(_LENGTH, (round(e, 3) for e in ends), strict=True))


def _figures(
    deals: rep_deals.Deals, offset: Vector, wins: rep_effects.Effects, length: rep_effects.Effects | None
) -> dict[str, float]:
    chance = 1 / (1 + np.exp(-offset))
    found = {"spread": wins.spread, "p_value": wins.p_value}
    if deals.mix.num_columns:
        found["mix_auc"] = evaluate.auc(deals.won, chance)
    if length is not None:
        found |= {"length_spread": length.spread, "length_p_value": length.p_value}
    return {name: round(value, 4) for name, value in found.items()}


def _said(wins: rep_effects.Effects, length: rep_effects.Effects | None, found: list[dict[str, Any]]) -> str:
    parts = [_differ("win rate", wins)]
    if length is not None:
        parts.append(_differ("length of won deals", length))
    sure = [row["activity"] for row in found if row["surely"]]
    if found:
        parts.append(f"With winning go: {', '.join(sure)}." if sure else "No activity surely goes with winning.")
    return " ".join([*parts, _ASSOCIATION])


def _differ(what: str, effects: rep_effects.Effects) -> str:
    if effects.p_value < 0.05:
        return f"Reps differ in the {what} beyond chance and mix (p {effects.p_value:.3f})."
    return f"Reps do not surely differ in the {what} (p {effects.p_value:.3f}): what is seen is what chance would show."
