"""Recipes without one model of columns say what a prediction of a subject rests on."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest import operations, verbs
from nextbest.ledger import archive, create
from nextbest.recipes import deal_words, segment_words, wait_words
from nextbest.recipes.churn import Churn
from nextbest.recipes.segments import Segments
from nextbest.trust.told import told
from nextbest.types import Fitted, Report

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2024, 1, 1, tzinfo=UTC)
AS_OF = START + timedelta(days=400)


def _deals(ledger: Any) -> None:
    """Write 240 deals that move from Offer to Won or Lost by lot, after 30 days on average; the last are open."""
    draw = np.random.default_rng(3)
    rows = []
    for number in range(240):
        born = float(draw.uniform(0, 380))
        end = born + float(draw.exponential(30.0))
        amount = 100.0 + number
        rows.append((f"d{number:03d}", born, "Offer", amount))
        if end < 400:
            rows.append((f"d{number:03d}", end, "Won" if draw.random() < 0.4 else "Lost", amount))
    moments = [START + timedelta(days=day) for _, day, _, _ in rows]
    table = pa.table(
        {
            "event_id": [f"e{i}" for i in range(len(rows))],
            "subject_id": [r[0] for r in rows],
            "deal_id": [r[0] for r in rows],
            "ts": pa.array(moments, pa.timestamp("us", tz="UTC")),
            "stage": [r[2] for r in rows],
            "amount": [r[3] for r in rows],
        }
    )
    archive.append(ledger, "deal_stage", table, source="made up")


def test_a_deal_is_explained_by_the_rate_of_its_stage(tmp_path: Path) -> None:
    """A win probability that is the stage's rate says so, with the counts; the pipeline adds how long it stands."""
    with create(tmp_path / "w") as ledger:
        _deals(ledger)
        fitted = verbs.fit(ledger, "deal_win", as_of=AS_OF)
        deal = verbs.predict(ledger, fitted, as_of=AS_OF, publish=False)["subject_id"][0].as_py()
        found = verbs.explain(ledger, "deal_win", deal, as_of=AS_OF)
        assert found.sentences[1].startswith("It is in 'Offer'. Of deals that came there and are over, ")
        assert found.sentences[2].startswith("That rate is the answer")
        assert found.details["rests_on"] == list(found.sentences[1:3])
        verbs.fit(ledger, "pipeline", as_of=AS_OF)
        state = " ".join(verbs.explain(ledger, "pipeline", deal, as_of=AS_OF).sentences)
        assert "It has been there for " in state
        assert "Nine of ten deals that were won left it within " in state


def test_a_sales_forecast_is_kept_and_its_card_shows_past_periods(tmp_path: Path) -> None:
    """What a forecast reports can be kept, and its card is a page with the past periods as a table."""
    with create(tmp_path / "w") as ledger:
        _deals(ledger)
        verbs.fit(ledger, "sales_forecast", as_of=AS_OF, period_days=30, paths=50)
        card = operations.card(ledger, "sales_forecast", as_of=AS_OF)
        page = operations.card_page(card)
    assert "Past periods" in page
    assert "{&#39;" not in page


def test_a_segment_is_explained_by_what_sets_it_apart(tmp_path: Path) -> None:
    """A person's value stands beside the middle of the segment and of the others."""
    draw = np.random.default_rng(0)
    high = draw.random(200) < 0.5
    rows = pa.table(
        {
            "customer": [f"c{i}" for i in range(200)],
            "visits": np.where(high, 20.0, 3.0) + draw.normal(0, 0.5, 200),
            "basket": np.where(high, 7.0, 55.0) + draw.normal(0, 1.0, 200),
        }
    )
    with create(tmp_path / "w") as ledger:
        verbs.fit(ledger, Segments(table=rows, id="customer"), as_of=AS_OF)
        found = verbs.explain(ledger, "segments", "c0", as_of=AS_OF, table=rows)
    middles = [line for line in found.sentences if "middle of the segment" in line]
    assert len(middles) == 2
    assert all("of the others: " in line for line in middles)


def test_nothing_is_predicted_for_who_has_left(tmp_path: Path) -> None:
    """By duration, a subject who is gone is said to be gone; of one who is there, months and shares are told."""
    draw = np.random.default_rng(1)
    time = draw.exponential(10.0, 300).round(1) + 0.1
    rows = pa.table(
        {
            "member": [f"m{i}" for i in range(300)],
            "plan": draw.choice(["monthly", "yearly"], 300),
            "age": draw.integers(18, 80, 300),
            "months": np.minimum(time, 12.0),
            "left": np.where(time < 12.0, "yes", "no"),
        }
    )
    recipe = Churn(table=rows, id="member", label="left", duration="months", unit="months")
    gone, there = (rows["left"].to_pylist().index(v) for v in ("yes", "no"))
    with create(tmp_path / "w") as ledger:
        verbs.fit(ledger, recipe, as_of=AS_OF)
        left = verbs.explain(ledger, "churn", f"m{gone}", as_of=AS_OF, table=rows)
        stays = verbs.explain(ledger, "churn", f"m{there}", as_of=AS_OF, table=rows)
    assert left.sentences[1:] == ("They have left: 'left' is 'yes'. There is nothing left to predict.",)
    assert "likely to leave within" in stays.sentences[0]
    assert "still there after" in stays.sentences[0]


def test_changeable_of_the_settings_is_read(tmp_path: Path) -> None:
    """Only the columns that the settings name are changed, and one that the model does not read is said."""
    draw = np.random.default_rng(2)
    price, service = draw.uniform(0, 10, 500), draw.uniform(0, 10, 500)
    left = draw.random(500) < 1 / (1 + np.exp(service - 0.8 * price))
    ids = [f"c{i}" for i in range(500)]
    rows = pa.table({"customer": ids, "price": price, "service": service, "left": np.where(left, "yes", "no")})
    recipe = Churn(table=rows, id="customer", label="left", changeable=("price", "weather"))
    with create(tmp_path / "w") as ledger:
        verbs.fit(ledger, recipe, as_of=AS_OF)
        found = verbs.explain(ledger, "churn", "c1", as_of=AS_OF, table=rows)
    assert found.details["changes"].changeable == ("price",)
    assert "The model does not read weather: changing that changes nothing." in found.sentences


def test_the_words_of_a_wait() -> None:
    """The pace is told, then the date; where too few come back there is no date, and it is said."""
    history = {"frequency": 4.0, "recency": 48.0, "T": 68.0, "purchases": 5.0}
    said: dict[str, date | None] = {"next_order_date": None, "next_order_date_low": None, "next_order_date_high": None}
    pace, none = wait_words.words(history, said, level=0.9)
    assert pace == "They ordered on 5 days so far, every 12 days on average, the last time 20 days ago."
    assert "there is no date" in none
    said = {"next_order_date": date(2026, 1, 9), "next_order_date_low": date(2026, 1, 2), "next_order_date_high": None}
    assert (
        "by 2026-01-09; 90% of next orders come between 2026-01-02 and a day"
        in wait_words.words(history, said, level=0.9)[1]
    )


def test_the_words_of_a_state() -> None:
    """A stalled deal is called so only where won deals say what is usual."""
    row = {"days_in_stage": 1.0, "stalled": None, "stalled_after_days": None, "unusually_unlikely": True,
           "next_stage": None, "next_stage_date": None}  # fmt: skip
    assert deal_words.health(row) == (
        "It has been there for 1 day.",
        "Too few deals that were won passed there to say when one is stalled.",
        "Nine of ten deals that were won had a better chance at that stage: it is unusually unlikely.",
    )


def test_the_words_of_the_grid() -> None:
    """A segment without drivers is told by the columns that cut it."""
    found = segment_words.words({"orders_365d": 5.0}, "loyal", None, [{"segment": "loyal", "rows": 9}])
    assert found == ("5 orders in the last 365 days.",)


def test_ways_of_leaving_are_told_apart_in_words() -> None:
    """By subscription the chance and its two parts say by what, and of when."""
    report = Report(recipe="churn", status="ok", details={"by": "subscription"})
    fitted = Fitted(model_id="m", recipe="churn", settings={}, as_of="", parts={}, report=report, extra={"horizon": 60})
    assert told(fitted, "churn_probability", 0.11) == "11% likely to leave within 60 days"
    assert told(fitted, "voluntary_churn_probability", 0.05) == "5% by their own will"
    assert told(fitted, "plan", "basic") == ""
