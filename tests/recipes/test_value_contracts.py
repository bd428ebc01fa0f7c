"""The value of subscribers on simulated contracts whose future is known."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from nextbest.errors import UnknownNameError
from nextbest.ledger import archive, create
from nextbest.models import store
from nextbest.models.contracts import MONTH_DAYS, contracts
from nextbest.models.order_history import day_of
from nextbest.recipes.value import Value

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2023, 1, 1, tzinfo=UTC)
DAYS = 1096
TYPES = {
    "subject_id": pa.string(), "subscription_id": pa.string(), "ts": pa.timestamp("us", tz="UTC"),
    "status": pa.string(), "currency": pa.string(), "interval": pa.string(), "amount": pa.float64(),
    "quantity": pa.float64(), "started_ts": pa.timestamp("us", tz="UTC"), "ended_ts": pa.timestamp("us", tz="UTC"),
    "cancelled_ts": pa.timestamp("us", tz="UTC"),
}  # fmt: skip


def states(*rows: dict[str, object]) -> pa.Table:
    """Give states of subscriptions from rows; days after the start become moments."""
    moments = ("ts", "started_ts", "ended_ts", "cancelled_ts")
    made: dict[str, list[object]] = {name: [] for name in TYPES}
    for row in rows:
        for name, values in made.items():
            value = row.get(name)
            values.append(START + timedelta(days=float(value)) if name in moments and value is not None else value)  # type: ignore[arg-type]
    return pa.table({name: pa.array(values, TYPES[name]) for name, values in made.items()})


def service(seed: int = 0, size: int = 1200, days: int = DAYS) -> pa.Table:
    """Give the subscriptions of a service: monthly and yearly, each leaving at its own constant chance per renewal."""
    draw = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for number in range(size):
        months = 12 if draw.random() < 0.3 else 1
        leaves = draw.beta(0.9, 9.0) if months == 1 else draw.beta(1.5, 4.0)
        begin, lasts = draw.uniform(0, days * 0.9), draw.geometric(leaves) * months * MONTH_DAYS
        rows.append({
            "subject_id": f"c{number % (size * 9 // 10):05d}",
            "subscription_id": f"s{number:05d}",
            "ts": begin, "started_ts": begin, "ended_ts": begin + lasts if begin + lasts < days else None,
            "status": "canceled" if begin + lasts < days else "active", "currency": "EUR",
            "interval": "year" if months == 12 else "month", "quantity": float(draw.integers(1, 4)),
            "amount": round(float(draw.gamma(4, 8)) * (10 if months == 12 else 1) + 1, 2),
        })  # fmt: skip
    return states(*rows)


@pytest.fixture(scope="module")
def known() -> pa.Table:
    """Give one service for the tests that only read it."""
    return service()


def test_what_comes_is_what_was_said(known: pa.Table) -> None:
    """In the half year after, which nobody has seen, the total is near, and intervals hold at least their share."""
    recipe, as_of = Value(horizon_days=180), START + timedelta(days=900)
    past = known.filter(pc.less(known["ts"], pa.scalar(as_of, pa.timestamp("us", tz="UTC"))))
    fitted = recipe.fit_subscriptions(past, as_of=as_of)
    assert fitted.report.status == "ok"
    said = recipe.predict_subscriptions(past, fitted, as_of=as_of)
    cut = float(day_of(as_of))
    then, now = contracts(past, cut), contracts(known, cut + 180)
    place = pc.index_in(then.key, now.key).to_numpy()
    ran = np.clip(np.minimum(now.end[place], cut + 180) - cut, 0, None) * np.isinf(then.end)
    actual = np.bincount(then.subject, ran / MONTH_DAYS * then.mrr, len(then.subject_ids))
    assert said["predicted_clv"].to_numpy().sum() == pytest.approx(actual.sum(), rel=0.05)
    low, high = (said[f"predicted_clv_{end}"].to_numpy() for end in ("low", "high"))
    assert np.mean((actual >= low * 0.99) & (actual <= high * 1.01)) >= 0.87
    running = said["running_subscriptions"].to_numpy() > 0
    assert np.all(said["mrr"].to_numpy()[~running] == 0)
    assert np.all(said["predicted_clv"].to_numpy()[~running] == 0)
    assert said["predicted_clv"].to_numpy().sum() < said["mrr"].to_numpy().sum() * 6


def test_the_report_says_which_way_and_beside_what(known: pa.Table) -> None:
    """The report is by subscriptions, out of time, JSON-able, beside two baselines, and beats that everybody stays."""
    report = Value(horizon_days=365).fit_subscriptions(known, as_of=START + timedelta(days=DAYS)).report
    assert report.details["by"] == "subscriptions"
    assert "learnt before 2025-01-01" in report.evaluation
    assert report.metrics["rmse"] < report.baselines["everybody_stays"]["rmse"]
    assert abs(report.metrics["total_error"]) < abs(report.baselines["everybody_stays"]["total_error"])
    assert "It beats everybody stays" in report.why
    assert 0.87 <= report.metrics["interval_held"] <= 1
    json.dumps(dict(report.details), allow_nan=False)


def test_the_future_of_a_contract_is_not_seen() -> None:
    """An end, a cancellation and a price that come after the cut change nothing before it."""
    told = {"subject_id": "a", "subscription_id": "s", "interval": "month", "amount": 10.0}
    later = states(
        {**told, "ts": 5, "started_ts": 5, "ended_ts": 90, "cancelled_ts": 70, "status": "canceled"},
        {**told, "ts": 80, "amount": 30.0, "status": "active"},
    )
    first = float(day_of(START))
    seen = contracts(later, first + 60)
    assert np.isinf(seen.end[0])
    assert not seen.leaving[0]
    assert seen.mrr.tolist() == [10.0]
    assert contracts(later, first + 75).leaving[0]
    assert contracts(later, first + 100).end[0] == first + 90


def test_contracts_are_what_anyone_would_count() -> None:
    """Quantity, billing periods, invoice lines and a status that ends give the amounts and ends counted by hand."""
    one = {"ts": 0, "started_ts": 0, "status": "active", "quantity": 2.0, "amount": 120.0}
    table = states(
        {**one, "subject_id": "a", "subscription_id": "year", "interval": "year"},
        {**one, "subject_id": "a", "subscription_id": "quarter", "interval": "Quarterly"},
        {"subject_id": "b", "subscription_id": "billed", "ts": 0, "status": "active", "interval": "month"},
        {"subject_id": "billed", "subscription_id": "billed", "ts": 3, "status": "invoiced", "amount": 7.0,
         "quantity": 5.0},
        {**one, "subject_id": "c", "subscription_id": "over"},
        {"subject_id": "c", "subscription_id": "over", "ts": 40, "status": "expired"},
    )  # fmt: skip
    first = float(day_of(START))
    found = contracts(table, first + 50)
    by_key = dict(zip(found.key.to_pylist(), range(4), strict=True))
    assert [found.mrr[by_key[k]] for k in ("year", "quarter", "billed", "over")] == [20.0, 80.0, 7.0, 240.0]
    assert found.subject_ids.take(pa.array(found.subject)).to_pylist()[by_key["billed"]] == "b"
    assert found.end[by_key["over"]] == first + 40
    assert found.unknown_interval == 1


def test_amounts_that_grow_are_seen_growing() -> None:
    """Contracts that rise by 2% a month give a rate near it that is used; without later states none is known."""
    draw = np.random.default_rng(3)
    rows = []
    for number in range(300):
        begin, price = draw.uniform(0, 500), draw.uniform(10, 50)
        for month in range(int((1000 - begin) / 91)):
            day, grown = begin + 91 * month, price * 1.02 ** (3 * month) * draw.uniform(0.98, 1.02)
            rows.append({"subject_id": f"c{number}", "subscription_id": f"s{number}", "ts": day, "status": "active",
                         "interval": "month", "amount": grown, "started_ts": begin,
                         "ended_ts": 700 + number if number < 150 else None})  # fmt: skip
    fitted = Value(horizon_days=90).fit_subscriptions(states(*rows), as_of=START + timedelta(days=1000))
    rate = fitted.report.details["growth_per_month"]
    assert 0.015 < rate["low"] < rate["high"] < 0.026
    assert rate["used"] == rate["rate"]
    still = Value(horizon_days=90).fit_subscriptions(service(1), as_of=START + timedelta(days=DAYS)).report
    assert still.details["growth_per_month"]["low"] is None
    assert "amounts are taken to stay" in " ".join(still.details["cautions"])


def test_later_revenue_counts_less_with_a_discount(known: pa.Table) -> None:
    """A discount of 10% a year lowers a year's value by about half of it."""
    as_of = START + timedelta(days=DAYS)
    plain, less = Value(horizon_days=365), Value(horizon_days=365, discount_rate=0.1)
    totals = [
        r.predict_subscriptions(known, r.fit_subscriptions(known, as_of=as_of), as_of=as_of)["predicted_clv"]
        for r in (plain, less)
    ]
    assert pc.sum(totals[1]).as_py() / pc.sum(totals[0]).as_py() == pytest.approx(1.1**-0.5, abs=0.01)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (service(size=25), "had begun"),
        (service().set_column(6, "amount", pa.nulls(1200, pa.float64())), "No subscription has an amount"),
        (service().slice(0, 0), "No subscription has an amount"),
    ],
)
def test_too_few_subscriptions_is_an_answer(table: pa.Table, words: str) -> None:
    """Too few contracts or none with an amount give status not_enough_data and what is missing."""
    report = Value().fit_subscriptions(table, as_of=START + timedelta(days=DAYS)).report
    assert report.status == "not_enough_data"
    assert words in report.why


def test_the_ledger_chooses_and_the_store_keeps(known: pa.Table, tmp_path: Path) -> None:
    """With subscriptions in the ledger they are chosen, a stored model predicts the same, and a wrong way is told."""
    as_of = START + timedelta(days=DAYS)
    with create(tmp_path / "service") as ledger:
        ids = pa.array([f"e{i}" for i in range(known.num_rows)])
        archive.append(
            ledger, "subscription", known.append_column("event_id", ids).append_column("received_ts", known["ts"]),
            source="test",
        )  # fmt: skip
        recipe = Value(horizon_days=180)
        made = recipe.fit(ledger, as_of=as_of)
        assert made.extra["by"] == "subscriptions"
        said = recipe.predict(ledger, made, as_of=as_of)
        assert said.equals(recipe.predict_subscriptions(known, made, as_of=as_of))
        store.save(ledger, made)
        assert recipe.predict(ledger, store.latest(ledger, "value"), as_of=as_of).equals(said)
        assert replace(recipe, by="orders").fit(ledger, as_of=as_of).report.status == "not_enough_data"
        with pytest.raises(UnknownNameError, match="orders, subscriptions"):
            replace(recipe, by="contracts").fit(ledger, as_of=as_of)
