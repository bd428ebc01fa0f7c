"""Visits: what they go with is found again in a simulation, favourites are not taken for gain, and plans add up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

import nextbest as nb
from nextbest.errors import DataError
from nextbest.ledger import archive, create
from nextbest.models import mixed_response as mixed
from nextbest.recipes import rep_capacity, visit_plan
from nextbest.recipes.rep_capacity import RepCapacity

if TYPE_CHECKING:
    from pathlib import Path

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)


def _world(*, gain: float, accounts: int = 400, periods: int = 16, seed: int = 0) -> tuple[mixed.Periods, np.ndarray]:
    """Draw counts of accounts that are visited more the better they are; `gain` is what visits really do."""
    draw = np.random.default_rng(seed)
    own = np.column_stack([draw.normal(1.0, 0.5, accounts), draw.normal(gain, 0.05, accounts)])
    account = np.repeat(np.arange(accounts), periods)
    effort = draw.poisson(np.exp(own[account, 0]) * 0.8).astype(float)
    mean = np.exp(own[account, 0] + own[account, 1] * np.log1p(effort))
    response = draw.negative_binomial(3, 3 / (3 + mean)).astype(float)
    seen = mixed.Periods(
        account=account, response=response, effort=effort, previous=np.zeros(len(account)),
        group=np.zeros(accounts, dtype=np.int64),
    )  # fmt: skip
    return seen, own


@pytest.mark.parametrize("gain", [0.0, 0.3])
def test_favourites_are_not_taken_for_gain(gain: float) -> None:
    """Where better accounts are visited more, the gain of a visit is still found, also when it is nought."""
    seen, _ = _world(gain=gain)
    found = mixed.fit(seen)
    assert found.mean[0, 1] == pytest.approx(gain, abs=0.06)
    assert found.favour > 0.3


def test_intervals_hold_the_accounts_own_gain() -> None:
    """The 90% intervals of the accounts' own levels hold the true ones in 84 to 98 of 100 accounts."""
    seen, own = _world(gain=0.2, seed=3)
    known = mixed.accounts(mixed.fit(seen), seen)
    apart = np.abs(known.own[:, 0] - own[:, 0]) / np.sqrt(known.covariance[:, 0, 0])
    assert 0.84 <= np.mean(apart < 1.645) <= 0.98


def _lasting(seed: int, accounts: int = 60, periods: int = 10) -> tuple[mixed.Periods, np.ndarray]:
    """Draw few accounts whose gain of a visit differs, with counts that carry over (0.15) from one to the next."""
    draw = np.random.default_rng([seed, 77])
    gain, usual, level = draw.normal(0.3, 0.15, accounts), draw.gamma(2, 1, accounts), draw.normal(0.6, 0.5, accounts)
    effort = draw.poisson(np.maximum(usual, 0.2)[:, None], (accounts, periods)).astype(float)
    counts = [draw.poisson(np.exp(level)).astype(float)]
    for period in range(periods):
        mean = np.exp(level + gain * np.log1p(effort[:, period]) + 0.15 * np.log1p(counts[-1]))
        counts.append(draw.poisson(mean).astype(float))
    seen = mixed.Periods(
        account=np.repeat(np.arange(accounts), periods), response=np.array(counts[1:]).T.ravel(),
        effort=effort.ravel(), previous=np.array(counts[:-1]).T.ravel(), group=np.zeros(accounts, np.int64),
    )  # fmt: skip
    return seen, np.column_stack([level, gain])


@pytest.mark.slow
def test_the_interval_of_the_total_holds_what_a_plan_would_bring() -> None:
    """What the plan truly goes with lies in its 90% interval in 16 of 20 worlds and more, of few accounts each."""
    held = 0
    for seed in range(20):
        seen, own = _lasting(seed)
        plan = visit_plan.plan(mixed.fit(seen), seen, visits=None, most=8, level=0.9, seed=seed)
        usual = np.bincount(seen.account, seen.response) / 10
        planned, now = (visit_plan._at(own, visits, usual, 0.15) for visits in (plan.planned, plan.now))
        held += plan.total_interval[0] <= float((planned - now).sum()) <= plan.total_interval[1]
    assert held >= 16


def test_rows_of_one_account_are_no_independent_witnesses() -> None:
    """Counting every row of an account four times leaves the interval of a mean as wide as it was."""
    draw = np.random.default_rng(8)
    values, account = draw.normal(size=200), np.arange(200)
    once = rep_capacity._mean_interval(values, account)
    assert rep_capacity._mean_interval(np.repeat(values, 4), np.repeat(account, 4)) == pytest.approx(once, abs=1e-4)
    assert once[1] - once[0] == pytest.approx(2 * 1.96 * values.std() / np.sqrt(200), rel=0.01)


def test_an_account_without_periods_is_like_its_group() -> None:
    """An account that was never seen has the level and gain of the others."""
    seen, _ = _world(gain=0.2, accounts=60)
    found = mixed.fit(seen)
    one_more = mixed.Periods(
        account=seen.account, response=seen.response, effort=seen.effort, previous=seen.previous,
        group=np.zeros(61, dtype=np.int64),
    )  # fmt: skip
    assert mixed.accounts(found, one_more).own[60] == pytest.approx(found.prior(one_more)[60])


def test_no_other_spread_of_visits_goes_with_more() -> None:
    """The plan equals the best of all ways to give 5 visits to 3 accounts, at most 3 each."""
    own = np.array([[1.0, 0.5], [0.5, 0.9], [2.0, 0.05]])
    returns = visit_plan._returns(own, np.ones(3), 0.1, 3)
    planned = visit_plan._spread(returns, 5)

    def worth(visits: tuple[int, ...]) -> float:
        return float(sum(returns[i, :v].sum() for i, v in enumerate(visits)))

    best = max((v for v in product(range(4), repeat=3) if sum(v) == 5), key=worth)
    assert worth(tuple(int(v) for v in planned)) == pytest.approx(worth(best))


def _table(seen: mixed.Periods) -> pa.Table:
    return pa.table({
        "id": [f"a{i:03d}" for i in seen.account], "response": seen.response.astype(int),
        "effort": seen.effort.astype(int),
    })  # fmt: skip


def test_the_report_calls_it_an_association() -> None:
    """The answer says that visits were not given by lot, and stands beside baselines."""
    recipe = RepCapacity(table=_table(_world(gain=0.3)[0]))
    fitted = recipe.fit(None, as_of=AS_OF)
    assert "association" in fitted.report.why
    assert fitted.report.metrics["deviance"] < fitted.report.baselines["usual count"]["deviance"]
    said = recipe.predict(None, fitted, as_of=AS_OF)
    assert said["visits_planned"].to_numpy().sum() <= round(said["visits_now"].to_numpy().sum())
    low, mid, high = (said[f"return_of_one_more{end}"].to_numpy() for end in ("_low", "", "_high"))
    assert ((low <= mid) & (mid <= high)).all()


def test_too_little_is_told_and_nonsense_refused() -> None:
    """Few accounts are not enough, effort that never differs tells nothing, and a negative count is an error."""
    few = pa.table({"id": ["a"] * 6, "response": [1, 2, 3, 1, 2, 3], "effort": [1, 0, 1, 0, 1, 0]})
    assert RepCapacity(table=few).fit(None, as_of=AS_OF).report.status == "not_enough_data"
    seen, _ = _world(gain=0.1, accounts=40)
    same = _table(seen).set_column(2, "effort", pa.array([1] * len(seen.account)))
    assert "nothing tells" in RepCapacity(table=same).fit(None, as_of=AS_OF).report.why
    with pytest.raises(DataError, match="has to hold a number of 0 or more"):
        RepCapacity(table=few.set_column(1, "response", pa.array([-1] * 6))).fit(None, as_of=AS_OF)


def test_orders_and_activities_of_the_ledger_are_counted(tmp_path: Path) -> None:
    """Without a table, orders and sales activities per 30 days are the counts."""
    draw = np.random.default_rng(5)
    with create(tmp_path / "w") as ledger:
        for kind in ("order", "activity"):
            who = np.repeat([f"s{i}" for i in range(40)], 30)
            days = draw.integers(1, 300, len(who))
            moments = [AS_OF - timedelta(days=int(d)) for d in days]
            more = {"order_id": [f"o{i}" for i in range(len(who))]} if kind == "order" else {}
            rows = {"event_id": [f"{kind}{i}" for i in range(len(who))], "subject_id": who, "ts": moments, **more}
            archive.append(ledger, kind, pa.table(rows), source="test")
        fitted = nb.fit(ledger, RepCapacity(), as_of=AS_OF)
        assert fitted.report.status == "ok", fitted.report.why
        said = nb.predict(ledger, "rep_capacity", as_of=AS_OF)
    assert said.num_rows == 40
    assert said["visits_now"].to_numpy().mean() == pytest.approx(3.0, abs=0.3)
