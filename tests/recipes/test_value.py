"""The value recipe on simulated shops with known truth, and on real ones out of time."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from nextbest.ledger import archive, create
from nextbest.models import clv, clv_windows, store
from nextbest.models.grouping import histories
from nextbest.models.likelihood import read_estimate
from nextbest.models.order_history import day_of, purchases, summary
from nextbest.models.pareto_nbd import tail
from nextbest.models.purchases import quantile
from nextbest.recipes.value import Value
from nextbest.recipes.value_baselines import last_period, mean_spend, recency_frequency
from nextbest.recipes.value_judged import unsettled
from nextbest.recipes.value_orders import usable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nextbest.models.likelihood import Estimate
    from nextbest.types import Fitted

START = datetime(2025, 1, 1, tzinfo=UTC)


def shop(seed: int = 0, customers: int = 1500, days: int = 400) -> pa.Table:
    """Give the orders of customers who arrive, buy at their own pace and value, and leave, in a seeded world."""
    random = np.random.default_rng(seed)
    ids, moments, money = [], [], []
    for number in range(customers):
        arrival = random.uniform(0, days * 0.8)
        stay = random.exponential(300.0) if random.random() < 0.8 else 5.0
        pace, size = random.gamma(1.2, 1 / 40.0), random.gamma(6, 5)
        end = min(days, arrival + stay)
        later = random.uniform(arrival, end, random.poisson(pace * (end - arrival)))
        for moment in [arrival, *np.sort(later)]:
            ids.append(f"c{number:05d}")
            moments.append(START + timedelta(days=float(moment)))
            money.append(size * random.gamma(6, 1 / 6))
    return pa.table({"subject_id": ids, "ts": pa.array(moments, pa.timestamp("us", tz="UTC")), "revenue": money})


def before(orders: pa.Table, day: int) -> pa.Table:
    """Give the orders of the first days."""
    return orders.filter(pc.less(orders["ts"], pa.scalar(START + timedelta(days=day), pa.timestamp("us", tz="UTC"))))


@pytest.fixture(scope="module")
def orders() -> pa.Table:
    """Give one shop for the tests that only read it."""
    return shop()


@pytest.fixture(scope="module")
def fitted(orders: pa.Table) -> Fitted:
    """Give the recipe fitted on the first 300 days of the shop."""
    return Value(horizon_days=90).fit_orders(before(orders, 300), as_of=START + timedelta(days=300))


def test_the_report_stands_beside_its_baselines(fitted: Fitted) -> None:
    """The report is out of time, has every metric, and beats the mean and the last period where it should."""
    report = fitted.report
    assert report.status == "ok"
    assert "learnt before 2025-07-30" in report.evaluation
    for metric in ("mae", "rmse", "correlation", "normalised_gini", "decile_mape", "total_error"):
        assert np.isfinite(report.metrics[metric])
        assert set(report.baselines) >= {"mean_spend", "last_period", "recency_frequency", "pareto_nbd_gamma_gamma"}
    assert "correlation" not in report.baselines["mean_spend"]
    json.dumps([dict(report.metrics), dict(report.baselines), dict(fitted.extra)], allow_nan=False)
    assert report.metrics["rmse"] < min(report.baselines[b]["rmse"] for b in ("mean_spend", "last_period"))
    assert report.metrics["normalised_gini"] > report.baselines["mean_spend"]["normalised_gini"] + 0.3


def test_predictions_hold_in_the_future_of_the_simulated_shop(orders: pa.Table, fitted: Fitted) -> None:
    """On the 90 days after, which the recipe has not seen, totals are near and intervals hold their share."""
    cut = START + timedelta(days=300)
    said = Value(horizon_days=90).predict_orders(before(orders, 300), fitted, as_of=cut)
    window = purchases(orders, before_day=day_of(START) + 400).between(day_of(cut), day_of(cut) + 90)
    spent = dict(zip(window.subject_ids.to_pylist(), window.sums(window.value), strict=True))
    actual = np.array([spent[s] for s in said["subject_id"].to_pylist()])
    assert said["predicted_clv"].to_numpy().sum() == pytest.approx(actual.sum(), rel=0.12)
    held = (actual >= said["predicted_clv_low"].to_numpy()) & (actual <= said["predicted_clv_high"].to_numpy())
    assert 0.85 <= held.mean() <= 0.97


def test_the_columns_have_the_names_people_know(orders: pa.Table, fitted: Fitted) -> None:
    """Every promised column is there, intervals enclose predictions, and facts of the past are those of the orders."""
    past = before(orders, 300)
    said = Value(horizon_days=90).predict_orders(past, fitted, as_of=START + timedelta(days=300))
    for name in ("predicted_clv", "predicted_number_of_orders", "expected_next_order_date"):
        low, high = said[f"{name}_low"], said[f"{name}_high"]
        assert pc.all(pc.less_equal(low, said[name])).as_py()
        assert pc.all(pc.less_equal(said[name], high)).as_py()
    totals = past.group_by("subject_id").aggregate([("revenue", "sum"), ("revenue", "mean")]).sort_by("subject_id")
    assert said["subject_id"].to_pylist() == totals["subject_id"].to_pylist()
    assert said["historic_clv"].to_numpy() == pytest.approx(totals["revenue_sum"].to_numpy())
    assert said["average_order_value"].to_numpy() == pytest.approx(totals["revenue_mean"].to_numpy())
    alive = said["probability_alive"].to_numpy()
    assert alive.min() >= 0
    assert alive.max() <= 1
    assert said["expected_next_order_date"].null_count == int((alive < 0.5).sum())
    dates = said["expected_next_order_date"].drop_null()
    assert pc.min(dates).as_py() >= (START + timedelta(days=300)).date()
    assert said["average_days_between_orders"].null_count > 0


def test_the_same_orders_and_seed_give_the_same_model(orders: pa.Table, fitted: Fitted) -> None:
    """A second fit has the same id, files and metrics, whatever the order of the rows."""
    shuffled = before(orders, 300).take(pa.array(np.random.default_rng(1).permutation(before(orders, 300).num_rows)))
    again = Value(horizon_days=90).fit_orders(shuffled, as_of=START + timedelta(days=300))
    assert again.report.metrics == pytest.approx(dict(fitted.report.metrics), rel=1e-6)
    same = Value(horizon_days=90).fit_orders(before(orders, 300), as_of=START + timedelta(days=300))
    assert same.model_id == fitted.model_id
    assert same.report.metrics == fitted.report.metrics


def test_the_judged_window_teaches_nothing_that_is_judged(orders: pa.Table) -> None:
    """Making the judged window ten times as rich changes no prediction for it: learning sees only what was before."""
    cut, horizon = day_of(START) + 210, 90
    bought = purchases(before(orders, 300), before_day=day_of(START) + 300)
    rich = purchases(
        orders.set_column(
            2, "revenue", pc.if_else(
                pc.greater_equal(orders["ts"], pa.scalar(START + timedelta(days=210), pa.timestamp("us", tz="UTC"))),
                pc.multiply(orders["revenue"], 10.0), orders["revenue"],
            ),
        ),
        before_day=day_of(START) + 300,
    )  # fmt: skip
    usual, other = (clv.learn(b, cut, horizon_days=horizon) for b in (bought, rich))
    assert usual.facts == other.facts
    assert {n: dict(p.files) for n, p in usual.parts.items()} == {n: dict(p.files) for n, p in other.parts.items()}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (shop(customers=0), "There are no orders"),
        (shop(customers=200, days=40), "span .* days; a horizon of 14 days needs at least 42"),
        (shop(customers=20), "Only .* customers had ordered on two days"),
        (
            shop(customers=3).set_column(2, "revenue", pa.nulls(shop(customers=3).num_rows, pa.float64())),
            "No order has a revenue",
        ),
    ],
)
def test_too_little_data_is_an_answer(table: pa.Table, words: str) -> None:
    """Too few orders, days or repeat customers give status not_enough_data and what is missing, not an error."""
    end = 40 if "span" in words else 400
    report = Value().fit_orders(table, as_of=START + timedelta(days=end)).report
    assert report.status == "not_enough_data"
    assert pc.match_substring_regex(pa.array([report.why]), words)[0].as_py(), report.why


def test_a_moment_after_the_last_order_is_not_silence(orders: pa.Table) -> None:
    """Fitted as of two months after the last order, the figures are those of the last order."""
    known = before(orders, 300)
    moments = [START + timedelta(days=d) for d in (300, 360)]
    reports = [Value(horizon_days=60).fit_orders(known, as_of=moment).report for moment in moments]
    assert reports[0].metrics == reports[1].metrics


def test_the_horizon_follows_from_the_history() -> None:
    """Without a setting the horizon is the longest usual one that fits three times into the orders."""
    made = Value().fit_orders(shop(customers=400, days=300), as_of=START + timedelta(days=300))
    assert made.extra["horizon_days"] == 90


def test_simple_baselines_are_what_they_say() -> None:
    """On three customers counted by hand, the rules give the amounts that anyone would."""
    rows = [("a", 0, 10.0), ("a", 20, 10.0), ("a", 38, 10.0), ("b", 1, 40.0), ("b", 11, 40.0), ("c", 30, 8.0)]
    table = pa.table(
        {
            "subject_id": [r[0] for r in rows],
            "ts": pa.array([START + timedelta(days=r[1]) for r in rows], pa.timestamp("us", tz="UTC")),
            "revenue": [r[2] for r in rows],
        }
    )
    first = day_of(START)
    bought = purchases(table, before_day=first + 40)
    assert last_period(bought, first + 40, 20).tolist() == [20.0, 0.0, 8.0]
    assert recency_frequency(bought, first + 40, 20).tolist() == pytest.approx([30 / 40 * 20, 0.0, 8 / 10 * 20])
    assert mean_spend(bought, first + 40, 20).tolist() == pytest.approx([10.0] * 3)


def test_the_weight_follows_what_is_sure() -> None:
    """A perfect or useless partner moves the weight to its bounds, equal partners and silent boosting do not."""
    random = np.random.default_rng(0)
    truth = random.gamma(2, 10, 4000)
    noise = random.permutation(truth)
    assert clv.blend_weight(truth, truth, noise) == pytest.approx(0.9)
    assert clv.blend_weight(truth, noise, truth) == pytest.approx(0.1)
    alike = [truth * np.exp(random.normal(0, 0.3, 4000)) for _ in range(2)]
    assert clv.blend_weight(truth, alike[0], alike[1]) == pytest.approx(0.5, abs=0.1)
    assert clv.blend_weight(truth, np.full(4000, np.nan), truth) == 0.0


def test_one_currency_counts_and_the_others_are_told(orders: pa.Table) -> None:
    """Orders in a rarer currency change no prediction, and the report says how many were left out."""
    past, as_of = before(orders, 300), START + timedelta(days=300)
    euro = past.append_column("currency", pa.array(["EUR"] * past.num_rows))
    yen = past.slice(0, 70).append_column("currency", pa.array(["JPY"] * 70))
    yen = yen.set_column(2, "revenue", pc.multiply(yen["revenue"], 150.0))
    mixed = pa.concat_tables([euro, yen])
    recipe = Value(horizon_days=90)
    alone, both = recipe.fit_orders(euro, as_of=as_of), recipe.fit_orders(mixed, as_of=as_of)
    assert both.model_id == alone.model_id
    assert "70 in JPY" in " ".join(both.report.details["cautions"])
    assert recipe.predict_orders(mixed, both, as_of=as_of).equals(recipe.predict_orders(euro, alone, as_of=as_of))


def test_refunds_without_a_moment_are_left_and_told(orders: pa.Table) -> None:
    """A refund of which nobody knows when it came is not taken off, and the report says so."""
    past = before(orders, 300)
    refunded = np.zeros(past.num_rows)
    refunded[:40] = 5.0
    used = usable(past.append_column("refunded", pa.array(refunded)))
    assert used.orders.num_rows == past.num_rows
    assert used.cautions[0].startswith("40 orders say how much was refunded but not when")


def test_the_report_holds_what_its_card_draws(fitted: Fitted) -> None:
    """Tenths, dates, capture, interval shares and moving features are there, as JSON, and agree with the metrics."""
    details = fitted.report.details
    json.dumps(dict(details), allow_nan=False)
    tenths = details["deciles"]
    assert [t["decile"] for t in tenths] == list(range(1, 11))
    assert sum(t["customers"] for t in tenths) == fitted.report.rows
    assert tenths[0]["predicted"] > tenths[-1]["predicted"]
    assert details["dates"] == {"from": "2025-01-01", "to": "2025-10-27", "judged_from": "2025-07-30"}
    assert details["intervals"]["money_held"] == fitted.report.metrics["interval_held"]
    assert fitted.report.top_features[0]["weight"] > 0
    assert "recency_frequency" in fitted.report.why


def test_the_median_is_the_smallest_count_that_half_stay_within(orders: pa.Table, fitted: Fitted) -> None:
    """Searching only among likely buyers gives the same medians as searching among all."""
    rows = histories(summary(purchases(before(orders, 300), before_day=day_of(START) + 300), day_of(START) + 300))
    parameters = read_estimate(fitted.parts["pareto_nbd"].files, "pareto_nbd").parameters
    span = 90 * fitted.extra["orders_factor"]
    slow = quantile(rows, lambda part, k: tail(parameters, part, span, k), 0.5)[rows.inverse]
    said = Value(horizon_days=90).predict_orders(before(orders, 300), fitted, as_of=START + timedelta(days=300))
    assert said["median_number_of_orders"].to_numpy().tolist() == slow.tolist()


def test_likelihoods_without_a_maximum_are_acted_on() -> None:
    """Where a purchase model does not converge it is fitted with a pull; if that fails too, boosting speaks alone."""
    settled = {"pulled": [], "unsettled": [], "value_weight": 0.5}
    assert unsettled(settled) == []
    assert "no clear maximum" in unsettled({**settled, "pulled": ["pareto_nbd"]})[0]
    left = {"pulled": ["gamma_gamma"], "unsettled": ["gamma_gamma"], "value_weight": 1.0}
    assert unsettled(left) == [
        "The search for the parameters of gamma_gamma did not end; boosting alone speaks for money and orders."
    ]


def test_a_model_that_did_not_converge_is_fitted_with_a_pull(orders: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """A purchase model whose search did not end comes back with a penalty, and is named."""
    plain = clv_windows.read_estimate

    def read(files: Mapping[str, bytes], model: str) -> Estimate:
        found = plain(files, model)
        return replace(found, converged=False) if model == "gamma_gamma" else found

    monkeypatch.setattr(clv_windows, "read_estimate", read)
    day = day_of(START) + 300
    bought = purchases(before(orders, 300), before_day=day)
    found = clv_windows.settling(clv_windows.purchase_models(bought, day, 90))
    assert found == {"pulled": ["gamma_gamma"], "unsettled": ["gamma_gamma"]}


def test_from_the_ledger_and_back_from_disk(orders: pa.Table, tmp_path: Path) -> None:
    """Orders in a ledger give the same model as the table they came from, and a stored model predicts the same."""
    numbers = pa.array([f"o{i}" for i in range(orders.num_rows)])
    rows = orders.append_column("event_id", numbers).append_column("order_id", numbers)
    as_of = START + timedelta(days=300)
    with create(tmp_path / "shop") as ledger:
        archive.append(ledger, "order", rows.append_column("received_ts", orders["ts"]), source="test")
        recipe = Value(horizon_days=90)
        made = recipe.fit(ledger, as_of=as_of)
        assert made.model_id == recipe.fit_orders(before(orders, 300), as_of=as_of).model_id
        said = recipe.predict(ledger, made, as_of=as_of)
        store.save(ledger, made)
        assert recipe.predict(ledger, store.latest(ledger, "value"), as_of=as_of).equals(said)


@pytest.mark.slow
def test_real_customers_out_of_time(shared_data: Path) -> None:
    """On the CDNOW master file, 39 weeks to learn and 39 to judge, the ranking and the total are as promised."""
    with gzip.open(shared_data / "ltv-cdnow" / "CDNOW_master.txt.gz", "rt") as lines:
        rows = [line.split() for line in lines][1:]
    moments = [datetime.strptime(r[1], "%Y%m%d").replace(tzinfo=UTC) for r in rows]
    orders = pa.table(
        {
            "subject_id": [r[0] for r in rows],
            "ts": pa.array(moments, pa.timestamp("us", tz="UTC")),
            "revenue": [float(r[3]) for r in rows],
        }
    )
    report = Value(horizon_days=273).fit_orders(orders, as_of=datetime(1998, 7, 1, tzinfo=UTC)).report
    assert report.rows == 23_570
    assert report.metrics["normalised_gini"] >= 0.72
    assert abs(report.metrics["total_error"]) <= 0.05
    assert report.metrics["decile_mape"] <= 0.15
    for baseline in report.baselines.values():
        assert report.metrics["normalised_gini"] >= baseline["normalised_gini"]
