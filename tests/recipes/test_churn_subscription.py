"""Churn of subscribers: stays put together by hand, causes apart, the truth of a simulator, honesty on little."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from nextbest.ledger import archive, create
from nextbest.models import store
from nextbest.recipes import subscriptions
from nextbest.recipes.churn import Churn

if TYPE_CHECKING:
    from pathlib import Path

    from nextbest.ledger import Ledger

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
_MOMENTS = ("ts", "started_ts", "ended_ts", "cancelled_ts")
_UTC = pa.timestamp("us", tz="UTC")
DAY_ZERO = (FIRST - datetime(1970, 1, 1, tzinfo=UTC)).days


def _day(day: float | None) -> datetime | None:
    return None if day is None else FIRST + timedelta(days=day)


def _write(ledger: Ledger, kind: str, rows: list[dict[str, Any]]) -> None:
    named = [{"event_id": f"{kind}{i}", **row} for i, row in enumerate(rows)]
    schema = {name: None for row in named for name in row}
    table = pa.Table.from_pylist([{n: r.get(n) for n in schema} for r in named])
    for name in (n for n in _MOMENTS if n in table.column_names):
        moments = pa.array([_day(r.get(name)) for r in named], _UTC)
        table = table.set_column(table.column_names.index(name), name, moments)
    archive.append(ledger, kind, table, source="made up")


def _state(who: str, ts: float, status: str = "active", **more: Any) -> dict[str, Any]:
    return {"subject_id": who, "ts": ts, "subscription_id": f"{who}-1", "status": status, **more}


def _simulated(
    ledger: Ledger, *, rows: int = 1_200, days: int = 720, seed: int = 0, failures: bool = True
) -> np.ndarray:
    """Write subscribers who cancel or fail to pay at steady rates, and give the true chance of either in 60 days."""
    draw = np.random.default_rng([seed, 5])
    begin, basic = draw.uniform(0, days * 0.9, rows), draw.random(rows) < 0.5
    by_will, by_failure = np.where(basic, 0.003, 0.001), np.where(basic, 0.0006, 0.0012)
    will, failure = draw.exponential(1 / by_will), draw.exponential(1 / by_failure)
    leave = begin + np.minimum(will, failure)
    states, payments = [], []
    for i in range(rows):
        who, failed = f"c{i:04d}", bool(failure[i] < will[i])
        plan = {"plan": "basic" if basic[i] else "pro", "started_ts": begin[i]}
        states.append(_state(who, begin[i], **plan))
        payments.append({"subject_id": who, "ts": begin[i], "status": "succeeded", "amount": 9.0})
        if leave[i] < days:
            ended = None if failed else leave[i]
            states.append(_state(who, leave[i], "canceled", ended_ts=leave[i], cancelled_ts=ended, **plan))
            if failed and failures:
                late = max(begin[i] + 0.01, leave[i] - 3)
                payments.append({"subject_id": who, "ts": late, "status": "failed", "failure_code": "card_declined"})
    _write(ledger, "subscription", states)
    _write(ledger, "payment", payments)
    total = by_will + by_failure
    gone = 1 - np.exp(-total * 60)
    return np.column_stack([gone * by_will / total, gone * by_failure / total])


# --- stays ------------------------------------------------------------------------------------------------------------


def test_stays_by_hand(tmp_path: Path) -> None:
    """Subscriptions that follow each other are one stay, a gap makes two, and notice counts from its day."""
    with create(tmp_path / "w") as ledger:
        _write(ledger, "subscription", [
            _state("a", 0, started_ts=0.0), _state("a", 50, "canceled", started_ts=0.0, ended_ts=50.0),
            {**_state("a", 50.5, started_ts=50.5), "subscription_id": "a-2"},
            _state("b", 10, started_ts=10.0), _state("b", 30, "canceled", started_ts=10.0, ended_ts=30.0),
            {**_state("b", 60, started_ts=60.0), "subscription_id": "b-2"},
            _state("c", 5, started_ts=5.0),
            _state("c", 70, started_ts=5.0, cancelled_ts=70.0, cancel_at_period_end=True, ended_ts=95.0),
            _state("d", 20, "canceled", started_ts=20.0),
        ])  # fmt: skip
        stays = subscriptions.read(ledger, FIRST + timedelta(days=80))
    found = [
        (stays.subject_ids[int(s)].as_py(), b, e, c, n)
        for s, b, e, c, n in zip(
            stays.subject, stays.begin - DAY_ZERO, stays.leave - DAY_ZERO, stays.cause, stays.notice, strict=True
        )
    ]
    assert found == [
        ("a", 0.0, np.inf, 0, False), ("b", 10.0, 30.0, 1, False), ("b", 60.0, np.inf, 0, False),
        ("c", 5.0, 70.0, 1, True),
    ]  # fmt: skip
    assert stays.undated == 1
    assert not stays.apart
    assert stays.until - DAY_ZERO == 71


def test_a_failed_payment_before_the_end_is_no_will(tmp_path: Path) -> None:
    """Who ended with the last payment failed, or past due, left involuntarily; who paid after a failure did not."""
    with create(tmp_path / "w") as ledger:
        ended = [_state(w, 100, "canceled", started_ts=0.0, ended_ts=100.0) for w in ("a", "b", "c", "d")]
        begun = [_state(w, 0, started_ts=0.0) for w in ("a", "b", "c", "d")]
        _write(ledger, "subscription", [*begun, _state("b", 80, "past_due", started_ts=0.0), *ended])
        _write(ledger, "payment", [
            {"subject_id": "a", "ts": 90.0, "status": "failed", "failure_code": "expired_card"},
            {"subject_id": "c", "ts": 85.0, "status": "failed", "failure_code": "expired_card"},
            {"subject_id": "c", "ts": 86.0, "status": "succeeded"},
            {"subject_id": "d", "ts": 20.0, "status": "failed", "failure_code": "expired_card"},
        ])  # fmt: skip
        stays = subscriptions.read(ledger, FIRST + timedelta(days=200))
    assert stays.cause.tolist() == [2, 2, 1, 1]
    assert stays.apart


def test_who_was_there_before_sight_began_counts_from_then(tmp_path: Path) -> None:
    """A history that begins later than a subscription puts it under risk from its first row; a list looks back."""
    with create(tmp_path / "history") as ledger:
        _write(ledger, "subscription", [_state("a", 40, started_ts=10.0), _state("b", 50, started_ts=50.0)])
        assert subscriptions.read(ledger, FIRST + timedelta(days=90)).entry.tolist() == [30.0, 0.0]
    with create(tmp_path / "list") as ledger:
        _write(ledger, "subscription", [
            _state("a", 80, started_ts=10.0), _state("b", 80, "canceled", started_ts=5.0, ended_ts=60.0)
        ])  # fmt: skip
        stays = subscriptions.read(ledger, FIRST + timedelta(days=90))
        assert stays.entry.tolist() == [0.0, 0.0]
        assert (stays.leave - DAY_ZERO).tolist() == [np.inf, 60.0]


def test_no_subscription_is_no_stay(tmp_path: Path) -> None:
    """An empty workspace has no stays, and churn there is told by silence."""
    with create(tmp_path / "w") as ledger:
        assert len(subscriptions.read(ledger, FIRST).begin) == 0
        report = Churn().fit(ledger, as_of=FIRST).report
        assert report.details["by"] == "silence"
        report = Churn(by="subscription").fit(ledger, as_of=FIRST).report
    assert report.status == "not_enough_data"
    assert "No subscription began" in report.why


# --- the recipe -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_two_ways_of_leaving_are_recovered(tmp_path: Path) -> None:
    """Voluntary and involuntary add up to churn exactly, and by plan both are the simulator's within 0.03."""
    with create(tmp_path / "w") as ledger:
        truth = _simulated(ledger, rows=2_500)
        as_of = FIRST + timedelta(days=720)
        fitted = Churn(horizon_days=60).fit(ledger, as_of=as_of)
        said = Churn(horizon_days=60).predict(ledger, fitted, as_of=as_of)
        store.save(ledger, fitted)
        again = Churn().predict(ledger, store.load(ledger, fitted.model_id), as_of=as_of)
    assert again.equals(said)
    assert fitted.report.details["by"] == "subscription"
    assert sum(fitted.report.details["causes"].values()) == fitted.report.positives
    low, high = fitted.report.intervals["auc minus age of the stay alone"]
    assert low < high
    places = [int(i[1:]) for i in said["subject_id"].to_pylist()]
    names = ("churn_probability", "voluntary_churn_probability", "involuntary_churn_probability")
    total, will, failure = (np.array(said[n]) for n in names)
    assert will + failure == pytest.approx(total, abs=1e-12)
    true = truth[places]
    for plan in np.unique(true[:, 0]):
        part = true[:, 0] == plan
        assert [will[part].mean(), failure[part].mean()] == pytest.approx(true[part].mean(axis=0), abs=0.03)


def test_who_came_into_sight_later_does_not_judge(tmp_path: Path) -> None:
    """A list that names old subscribers only from a late day on tells nothing of who left before it: they are out."""
    with create(tmp_path / "w") as ledger:
        draw = np.random.default_rng(34)
        states = []
        for i in range(600):
            begin, stay = draw.uniform(0, 400), draw.exponential(250)
            states.append(_state(f"c{i:03d}", begin, started_ts=begin))
            if begin + stay < 600:
                states.append(_state(f"c{i:03d}", begin + stay, "canceled", started_ts=begin, ended_ts=begin + stay))
        late = [_state(f"d{i:03d}", 580, started_ts=draw.uniform(0, 400)) for i in range(300)]
        _write(ledger, "subscription", states)
        as_of = FIRST + timedelta(days=600)
        alone = Churn(by="subscription").fit(ledger, as_of=as_of).report
        _write(ledger, "subscription", [{**s, "event_id": f"late{i}"} for i, s in enumerate(late)])
        both = Churn(by="subscription").fit(ledger, as_of=as_of).report
    judged = [sum(p["rows"] for p in r.details["calibration"]) for r in (alone, both)]
    assert judged[0] == judged[1]


def test_when_the_data_do_not_tell_the_causes_it_is_said(tmp_path: Path) -> None:
    """Without a failed payment or a status past due there is one probability, and a sentence says why not two."""
    with create(tmp_path / "w") as ledger:
        _simulated(ledger, failures=False)
        as_of = FIRST + timedelta(days=720)
        fitted = Churn().fit(ledger, as_of=as_of)
        said = Churn().predict(ledger, fitted, as_of=as_of)
    assert "do not tell who left by will" in fitted.report.why
    assert said["voluntary_churn_probability"].null_count == said.num_rows
    assert said["churn_probability"].null_count == 0


def test_deleting_the_future_changes_nothing(tmp_path: Path) -> None:
    """Fitted as of a moment, with and without what came later, the model has the same bytes."""
    as_of, ids = FIRST + timedelta(days=500), []
    for name, until in (("whole", None), ("past", 500.0)):
        with create(tmp_path / name) as ledger:
            states: list[dict[str, Any]] = []
            draw = np.random.default_rng(33)
            for i in range(500):
                begin, stay = draw.uniform(0, 450), draw.exponential(200)
                plan: dict[str, Any] = {"plan": "basic" if i % 2 else "pro", "started_ts": begin}
                states.append(_state(f"c{i:03d}", begin, **plan))
                if begin + stay < 700:
                    states.append(_state(f"c{i:03d}", begin + stay, "canceled", ended_ts=begin + stay, **plan))
            _write(ledger, "subscription", [s for s in states if until is None or s["ts"] < until])
            ids.append(Churn().fit(ledger, as_of=as_of).model_id)
    assert ids[0] == ids[1]
    assert ids[0]


def test_who_has_given_notice_leaves(tmp_path: Path) -> None:
    """Who has cancelled and whose paid time still runs is given 1, and nobody who is gone is given anything."""
    with create(tmp_path / "w") as ledger:
        _simulated(ledger, rows=700, seed=4, failures=False)
        _write(ledger, "subscription", [
            {**_state("z", 600, started_ts=600.0), "event_id": "z1"},
            {**_state("z", 710, started_ts=600.0, cancelled_ts=710.0, cancel_at_period_end=True), "event_id": "z2"},
        ])  # fmt: skip
        as_of = FIRST + timedelta(days=720)
        fitted = Churn().fit(ledger, as_of=as_of)
        said = {r["subject_id"]: r for r in Churn().predict(ledger, fitted, as_of=as_of).to_pylist()}
        stays = subscriptions.read(ledger, as_of)
    assert said["z"]["churn_probability"] == said["z"]["churn_probability_low"] == 1.0
    gone = np.unique(stays.subject[np.isfinite(stays.leave) & ~stays.notice])
    assert not {stays.subject_ids[int(s)].as_py() for s in gone} & set(said)
