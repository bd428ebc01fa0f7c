"""The life of deals, read from histories and from exports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nextbest.models import deal_features, deal_history
from nextbest.models.deal_history import COLUMNS, NEVER, STAYS, TO_LOST, TO_WON, Deals

START = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = int(START.timestamp())
_TYPES: dict[str, Any] = {
    "ts": pa.timestamp("us", tz="UTC"), "expected_close_ts": pa.timestamp("us", tz="UTC"),
    "closed_ts": pa.timestamp("us", tz="UTC"), "won": pa.bool_(), "closed": pa.bool_(), "amount": pa.float64(),
}  # fmt: skip


def table(*rows: dict[str, Any]) -> pa.Table:
    """Give rows of `deal_stage`; days count from the start."""
    days = ("ts", "expected_close_ts", "closed_ts")
    full = [{n: START + timedelta(days=v) if n in days else v for n, v in row.items()} for row in rows]
    schema = pa.schema([(name, _TYPES.get(name, pa.string())) for name in COLUMNS])
    return pa.Table.from_pylist([{"deal_id": r["subject_id"], **r} for r in full], schema=schema)


def read(*rows: dict[str, Any], day: int = 100, **settings: Any) -> Deals:
    """Give the deals as of a day."""
    return deal_history.read(table(*rows), now=FIRST + day * 86_400, **settings)


HISTORY = (
    {"subject_id": "a", "ts": 0, "stage": "Qualify", "amount": 100.0, "expected_close_ts": 30},
    {"subject_id": "a", "ts": 10, "stage": "Offer", "expected_close_ts": 50},
    {"subject_id": "a", "ts": 15, "stage": "Offer", "amount": 80.0},
    {"subject_id": "a", "ts": 40, "stage": "Closed - Won"},
    {"subject_id": "b", "ts": 5, "stage": "Qualify", "amount": 50.0},
    {"subject_id": "b", "ts": 25, "stage": "closedlost"},
    {"subject_id": "c", "ts": 60, "stage": "Qualify"},
)


def test_a_history_gives_stages_ends_and_amounts() -> None:
    """Stages, times in them, results and last amounts are those of the rows."""
    deals = read(*HISTORY)
    assert deals.history
    assert deals.stages == ("Qualify", "Offer")
    assert deals.won.tolist() == [True, False, False]
    assert ((deals.closed - FIRST) / 86_400)[:2].tolist() == [40.0, 25.0]
    assert deals.closed[2] == NEVER
    assert deals.amount_won[0] == 80
    seen = deal_history.spells(deals)
    assert seen.days.tolist() == [10.0, 30.0, 20.0, 40.0]
    assert seen.leaves.tolist() == [1, TO_WON, TO_LOST, STAYS]


def test_an_end_that_is_still_to_come_is_not_known() -> None:
    """As of a moment before its end a deal is open, and nothing of what came later is seen."""
    early = deal_history.read(table(*HISTORY[:2]), now=FIRST + 20 * 86_400)
    later = table(*HISTORY[:4])
    known = later.filter(pa.array([t < START + timedelta(days=20) for t in later["ts"].to_pylist()]))
    again = deal_history.read(known, now=FIRST + 20 * 86_400)
    assert early.closed[0] == again.closed[0] == NEVER
    export = {"subject_id": "x", "ts": 0, "stage": "Won", "closed_ts": 50, "amount": 9.0}
    open_then = read(export, day=30)
    assert open_then.closed[0] == NEVER
    assert not open_then.won[0]
    assert np.isnan(open_then.row_amount[0])
    assert np.isnan(open_then.amount_won[0])


def test_an_export_tells_ends_by_its_dates_and_no_stages() -> None:
    """Without a history all open time is one stage, and the closing date of a deal that is over is its end."""
    deals = read(
        {"subject_id": "a", "ts": 0, "stage": "Closed Won", "won": True, "closed": True, "expected_close_ts": 30},
        {"subject_id": "b", "ts": 1, "stage": "Closed Lost", "won": False, "closed": True, "expected_close_ts": 20},
        {"subject_id": "c", "ts": 2, "stage": "Offer", "won": False, "closed": False, "expected_close_ts": 120},
        {"subject_id": "d", "ts": 2, "stage": "Lost", "closed_ts": 12},
    )
    assert not deals.history
    assert deals.stages == (deal_history.OPEN,)
    assert [(c - FIRST) // 86_400 if c < NEVER else None for c in deals.closed.tolist()] == [30, 20, None, 12]
    assert deals.won.tolist() == [True, False, False, False]


def test_a_deal_that_was_opened_again_ends_with_its_last_end() -> None:
    """A loss after which the deal stood in an open stage again is not its end."""
    deals = read(
        {"subject_id": "a", "ts": 0, "stage": "Offer"}, {"subject_id": "a", "ts": 10, "stage": "Lost"},
        {"subject_id": "a", "ts": 20, "stage": "Offer"}, {"subject_id": "a", "ts": 30, "stage": "Won"},
    )  # fmt: skip
    assert deals.won.tolist() == [True]
    assert (deals.closed[0] - FIRST) // 86_400 == 30


def test_an_export_beside_a_history_changes_no_stage() -> None:
    """A row of the export, dated by the deal's opening, gives amount and owner, and the history its stages."""
    deals = read(
        {"subject_id": "a", "ts": 0, "stage": "closedwon", "won": True, "amount": 70.0, "owner_id": "kim"},
        {"subject_id": "a", "ts": 0, "stage": "Qualify"},
        {"subject_id": "a", "ts": 20, "stage": "closedwon"},
    )
    seen = deal_history.spells(deals)
    assert deals.stages == ("Qualify",)
    assert (seen.days.tolist(), seen.leaves.tolist()) == ([20.0], [TO_WON])
    assert deals.amount_won[0] == 70


@pytest.mark.parametrize(("name", "setting"), [("Signed off", "won_stages"), ("No budget", "lost_stages")])
def test_stages_can_be_named_as_ends(name: str, setting: str) -> None:
    """A stage whose name does not say that it ends a deal can be said to."""
    rows = ({"subject_id": "a", "ts": 0, "stage": "Offer"}, {"subject_id": "a", "ts": 9, "stage": name})
    assert read(*rows).closed[0] == NEVER
    ends: dict[str, Any] = {setting: [name]}
    found = read(*rows, **ends)
    assert found.closed[0] < NEVER
    assert found.won[0] == (setting == "won_stages")


def test_features_are_those_of_the_moment() -> None:
    """At each moment stage, age, changes and past win rates are what was known then, computed by hand."""
    deals = read(*HISTORY)
    moments = FIRST + np.array([0, 12, 20]) * 86_400
    found = deal_features.features(deals, np.zeros(3, np.int64), moments)
    assert found["stage"].to_pylist() == ["Qualify", "Offer", "Offer"]
    assert found["stage_age_days"].to_pylist() == [0.0, 2.0, 10.0]
    assert found["amount"].to_pylist() == [100.0, 100.0, 80.0]
    assert found["amount_changes"].to_pylist() == [0.0, 0.0, 1.0]
    assert found["closing_date_pushes"].to_pylist() == [0.0, 1.0, 1.0]
    assert found["days_to_closing_date"].to_pylist() == [30.0, 38.0, 30.0]


def test_the_future_changes_no_feature() -> None:
    """Features of a moment are the same whether or not anything is known of the time after it."""
    cut = FIRST + 26 * 86_400
    whole = deal_features.features(read(*HISTORY), np.array([0]), np.array([cut - 1]))
    known = deal_history.read(table(*HISTORY[:3], *HISTORY[4:6]), now=cut)
    assert deal_features.features(known, np.array([0]), np.array([cut - 1])).equals(whole)


def test_activities_find_their_deal_whatever_system_named_it() -> None:
    """Activities are counted by the deal's own id, with or without the system before it, and only before the moment."""
    deals = deal_history.read(table(*({**r, "deal_id": f"hubspot:deal:{r['subject_id']}"} for r in HISTORY)), now=NEVER)
    days = pa.array([START + timedelta(days=d) for d in (1, 2, 30)], pa.timestamp("us", tz="UTC"))
    done = deal_features.activities(pa.table({"deal_id": ["a", "hubspot:engagement:a", "a"], "ts": days}), deals)
    found = deal_features.features(deals, np.array([0]), np.array([FIRST + 16 * 86_400]), done=done)
    assert found["activities"].to_pylist() == [2.0]
    assert found["activities_14d"].to_pylist() == [1.0]
    assert found["days_since_activity"].to_pylist() == [14.0]
