"""Where is a visit worth most? What one more goes with, per account, and the spread of visits that goes with most.

    nb.fit(ledger, RepCapacity(table="visits.csv", account="id", response="scripts", effort="detailing"))

Visits are no experiment: who visits chooses whom. What is said is an association within accounts, and called one.
"""

from __future__ import annotations

import time as clock
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import DataError, UsageError
from nextbest.ledger import analysis
from nextbest.models import mixed_response as mixed
from nextbest.models.encode_values import numbers, plain
from nextbest.models.evaluate import correlation, mae
from nextbest.recipes import flat_table, visit_plan
from nextbest.recipes.fitting import model_id, not_enough, settings_of
from nextbest.types import Fitted, Report

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

FEWEST_ACCOUNTS, FEWEST_PERIODS = 30, 4
DEAF = "the same without visits"
LATEST_SHARE = 0.25
_MONTH_US = 30 * 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Rows of accounts and periods; `order` is the place of a row in its account's time."""

    periods: mixed.Periods
    names: pa.Array
    segments: tuple[str, ...]
    order: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RepCapacity:
    """The return of one more visit per account, and how to spread `visits` a period, at most `most` per account.

    From a flat `table` with one row per account and period, in order of time: columns `account`, `response` (a count:
    orders, scripts), `effort` (visits, hours). `accounts` is a table of accounts with the column `segment`. Without a
    table: orders and sales activities of the ledger, by 30 days. `visits` None keeps what is spent now.
    """

    name: str = field(default="rep_capacity", init=False)
    per_subject: bool = field(default=False, init=False)
    table: str | pa.Table | None = None
    account: str = "id"
    response: str = "response"
    effort: str = "effort"
    accounts: str | pa.Table | None = None
    segment: str = ""
    visits: int | None = None
    most: int = 8
    level: float = 0.9
    seed: int = 0

    def fit(self, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401 (see types.Recipe)
        """Learn how counts go with effort, judged on the latest quarter of periods."""
        began = clock.perf_counter()
        seen = self._panel(ledger, as_of)
        report = Report(recipe=self.name, status="ok", as_of=as_of.isoformat(), rows=len(seen.order))
        missing = _missing(seen)
        if missing:
            return not_enough(self.name, settings_of(self), replace(report, why=missing))
        judged = _judged(seen, report)
        response = mixed.fit(seen.periods)
        plan = self._plan(seen, response)
        facts = _facts(response)
        return Fitted(
            model_id=model_id(self.name, {}, f"{report.as_of}{facts}"), recipe=self.name, settings=settings_of(self),
            as_of=report.as_of, parts={}, extra={**facts, "segments": list(seen.segments)},
            report=replace(
                judged, why=_said(response, plan, judged), details=_details(seen, response, plan),
                seconds=round(clock.perf_counter() - began, 3),
            ),
        )  # fmt: skip

    def predict(self, ledger: Any, fitted: Fitted, *, as_of: datetime) -> pa.Table:  # noqa: ANN401 (see types.Recipe)
        """Give per account `visits_now`, `visits_planned`, `expected_now`, `expected_planned` (a period), and
        `return_of_one_more` with `_low`, `_high`.
        """  # noqa: D205 (the columns are the summary)
        seen = self._panel(ledger, as_of)
        plan = self._plan(seen, _restored(fitted.extra))
        return pa.table({
            "account": seen.names,
            "segment": pa.array([seen.segments[g] for g in seen.periods.group], pa.string()),
            "visits_now": plan.now, "visits_planned": plan.planned,
            "expected_now": plan.expected_now, "expected_planned": plan.expected_planned,
            "return_of_one_more": plan.gain, "return_of_one_more_low": plan.gain_low,
            "return_of_one_more_high": plan.gain_high,
        })  # fmt: skip

    def _plan(self, seen: Panel, response: mixed.Response) -> visit_plan.Plan:
        return visit_plan.plan(
            response, seen.periods, visits=self.visits, most=self.most, level=self.level, seed=self.seed
        )

    def _panel(self, ledger: Any, as_of: datetime) -> Panel:  # noqa: ANN401
        if self.table is None:
            return _from_ledger(ledger, as_of)
        table = flat_table.read(self.table)
        names = flat_table.column(table, self.account, "account").cast(pa.string())
        found = [_counts(table, name, what) for name, what in ((self.response, "response"), (self.effort, "effort"))]
        segments = None if self.accounts is None else self._segments(flat_table.read(self.accounts))
        return _panel(names, found[0], found[1], segments)

    def _segments(self, table: pa.Table) -> dict[str, str]:
        if not self.segment:
            raise UsageError("Which column of accounts is the segment? Give segment.")
        ids = flat_table.column(table, self.account, "account").cast(pa.string()).to_pylist()
        said = flat_table.column(table, self.segment, "segment").cast(pa.string()).to_pylist()
        return dict(zip(ids, (s or "unknown" for s in said), strict=True))


# --- rows -----------------------------------------------------------------------------------------------------------


def _counts(table: pa.Table, name: str, what: str) -> Vector:
    values = numbers(plain(table[flat_table.named(table, name, what)]))
    if values is None or not np.isfinite(values).all() or (values < 0).any():
        raise DataError(f"The column '{name}' ({what}) has to hold a number of 0 or more in every row.")
    return values


def _panel(names: pa.Array, response: Vector, effort: Vector, segments: dict[str, str] | None) -> Panel:
    """Give the rows by account, in the order they came in, each with the count before it."""
    known = pc.unique(names)
    account = pc.index_in(names, known).to_numpy(zero_copy_only=False).astype(np.int64)
    rows = np.argsort(account, kind="stable")
    account, response, effort = account[rows], response[rows], effort[rows]
    first = np.searchsorted(account, np.arange(len(known)))
    order = np.arange(len(account)) - first[account]
    previous = np.where(order > 0, np.append(0.0, response[:-1]), 0.0)
    said = [(segments or {}).get(n, "all" if segments is None else "unknown") for n in known.to_pylist()]
    words, group = np.unique(said, return_inverse=True)
    # The count before an account's first row is not known: such rows teach nothing about what is carried over.
    kept = order > 0
    periods = mixed.Periods(
        account=account[kept], response=response[kept], effort=effort[kept], previous=previous[kept],
        group=group.astype(np.int64),
    )  # fmt: skip
    return Panel(periods=periods, names=known, segments=tuple(str(w) for w in words), order=order[kept])


def _from_ledger(ledger: Any, as_of: datetime) -> Panel:  # noqa: ANN401
    """Give orders and activities per subject and 30 days before the moment."""
    end = int(as_of.timestamp() * 1e6)
    parts = []
    for kind in ("order", "activity"):
        rows = analysis.table(ledger, kind, columns=("subject_id", "ts"), before=as_of)
        ago = (end - rows["ts"].cast(pa.int64()).to_numpy()) // _MONTH_US
        parts.append((rows["subject_id"].cast(pa.string()), ago))
    names = pc.unique(pa.chunked_array([c for ids, _ in parts for c in ids.chunks], pa.string()))
    periods = int(max((ago.max(initial=-1) for _, ago in parts), default=-1)) + 1
    counted = []
    for ids, ago in parts:
        place = pc.index_in(ids, names).to_numpy(zero_copy_only=False).astype(np.int64)
        cell = place * periods + (periods - 1 - ago)
        counted.append(np.bincount(cell, minlength=len(names) * periods).astype(np.float64))
    return _panel(names.take(np.repeat(np.arange(len(names)), periods)), counted[0], counted[1], None)


def _missing(seen: Panel) -> str:
    accounts, rows = len(seen.names), len(seen.order)
    periods = rows / accounts + 1 if accounts else 0.0
    each = f" with {periods:.1f} periods each" if accounts else ""
    if accounts < FEWEST_ACCOUNTS or periods < FEWEST_PERIODS:
        return (
            f"There are {accounts} accounts{each}; at least {FEWEST_ACCOUNTS} accounts and "
            f"{FEWEST_PERIODS} periods are needed. Load a longer history, or more accounts."
        )
    if np.ptp(seen.periods.effort) == 0:
        return "Every account had the same effort in every period, so nothing tells what effort goes with."
    return ""


# --- judged on what came later ----------------------------------------------------------------------------------------


def _judged(seen: Panel, report: Report) -> Report:
    """Give the report of what is learnt from the earlier periods and said of the latest quarter of them."""
    rows = seen.periods
    length = np.bincount(rows.account, minlength=len(seen.names))[rows.account]
    later = seen.order > np.floor(length * (1 - LATEST_SHARE))
    learning, judging = rows.rows(~later), rows.rows(later)
    response = mixed.fit(learning)
    own = mixed.accounts(response, learning).own
    ours = mixed.expected(own, judging.account, judging.effort, judging.previous, carry=response.carry)
    sums = np.bincount(learning.account, weights=learning.response, minlength=len(seen.names))
    usual = sums / np.maximum(np.bincount(learning.account, minlength=len(seen.names)), 1)
    flat = replace(learning, effort=np.zeros(len(learning.effort)))
    quiet = mixed.fit(flat)
    deaf = mixed.expected(
        mixed.accounts(quiet, flat).own, judging.account, np.zeros(len(judging.effort)), judging.previous,
        carry=quiet.carry,
    )  # fmt: skip
    theirs = {"usual count": usual[judging.account], "last count": judging.previous, DEAF: deaf}
    return replace(
        report,
        evaluation=f"learnt on the earlier periods, judged on the latest {LATEST_SHARE:.0%} of each account",
        metrics=_figures(judging.response, ours),
        intervals={
            "mae": _mean_interval(np.abs(judging.response - ours), judging.account),
            f"deviance minus {DEAF}": _mean_interval(
                _deviance(judging.response, ours) - _deviance(judging.response, deaf), judging.account
            ),
        },
        baselines={name: _figures(judging.response, said) for name, said in theirs.items()},
    )


def _figures(actual: Vector, predicted: Vector) -> dict[str, float]:
    """Give mean absolute error, correlation and the mean Poisson deviance."""
    together = correlation(actual, predicted)
    figures = {
        "mae": mae(actual, predicted),
        "correlation": together,
        "deviance": float(_deviance(actual, predicted).mean()),
    }
    return {name: round(value, 4) for name, value in figures.items() if np.isfinite(value)}


def _deviance(actual: Vector, predicted: Vector) -> Vector:
    """Give the Poisson deviance of every row (predictions at least 0.05)."""
    told = np.maximum(predicted, 0.05)
    logs = np.where(actual > 0, actual * np.log(np.maximum(actual, 1e-9) / told), 0.0)
    return np.asarray(2 * (logs - actual + told))


def _mean_interval(values: Vector, account: NDArray[np.int64]) -> tuple[float, float]:
    """Give the 95% interval of a mean over rows, accounts as drawn from many: rows of one account err alike.

    The variance of a ratio of two sums over accounts, by the delta method.
    """
    middle, off = float(values.mean()), values - values.mean()
    apart = np.bincount(account, weights=off)
    reach = 1.96 * float(np.sqrt((apart**2).sum())) / len(values)
    return round(middle - reach, 4), round(middle + reach, 4)


# --- what is said -----------------------------------------------------------------------------------------------------


def _facts(response: mixed.Response) -> dict[str, Any]:
    return {
        "mean": response.mean.tolist(), "spread": response.spread.tolist(), "favour": response.favour,
        "carry": response.carry, "scale": response.scale,
    }  # fmt: skip


def _restored(facts: Any) -> mixed.Response:  # noqa: ANN401 (the facts of a fitted recipe)
    return mixed.Response(
        mean=np.array(facts["mean"]), spread=np.array(facts["spread"]), favour=facts["favour"], carry=facts["carry"],
        scale=facts["scale"],
    )  # fmt: skip


def _said(response: mixed.Response, plan: visit_plan.Plan, judged: Report) -> str:
    helped = "better" if judged.intervals[f"deviance minus {DEAF}"][1] < 0 else "not surely better"
    low, high = plan.total_interval
    return (
        f"One more visit goes with {plan.gain.mean():.2f} more a period for the average account; later counts are told "
        f"{helped} with visits than without. Spreading the same visits by return goes with {plan.total:+,.0f} "
        f"({low:+,.0f} to {high:+,.0f}) a period. This is an association: visits were not given by lot, and accounts "
        f"that are visited more are better ones anyway (that part, {response.favour:+.2f}, is taken out)."
    )


def _details(seen: Panel, response: mixed.Response, plan: visit_plan.Plan) -> dict[str, Any]:
    group = seen.periods.group
    rows = [
        {
            "segment": name,
            "accounts": int((group == i).sum()),
            "gain": round(float(response.mean[i, 1]), 4),
            "return_of_one_more": round(float(plan.gain[group == i].mean()), 4),
            "visits_now": round(float(plan.now[group == i].sum()), 1),
            "visits_planned": round(float(plan.planned[group == i].sum()), 1),
        }
        for i, name in enumerate(seen.segments)
    ]
    cautions = [
        "An association within accounts, not the effect of a visit: give some visits by lot to measure that.",
        "What is planned is only as good as the range that was seen: no account is planned above what was asked for.",
    ]
    return {"segments": rows, "cautions": cautions}
