"""Plays for deals reach deals and nobody else; plays for customers never fall on a deal."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from tests.recipes.pipelines import moment, world

from nextbest import operations, verbs
from nextbest.errors import ConfigError, DataError, UsageError
from nextbest.ledger import archive, create
from nextbest.trust.prediction import explain_prediction

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextbest.ledger import Ledger

DAYS = 420
AS_OF = moment(DAYS)
TOML = """
[recipes.buys_shoes]
recipe = "propensity"
event = "order"
[plays.follow_up]
subject_type = "deal"
audience = "win_probability > 0"
holdout = 0.0
actions = [{ id = "call_them", class = "internal", cost = 1.0, assumed_log_odds = 0.5 }]
[plays.everybody]
holdout = 0.0
actions = [{ id = "banner", class = "internal" }]
[plays.shoes]
audience = "buys_shoes_probability > 0.5"
response = "0.1"
holdout = 0.0
actions = [{ id = "banner", class = "internal" }]
[plays.typo]
audience = "buys_shoos_probability > 0.5"
actions = [{ id = "banner", class = "internal" }]
"""


def stages() -> pa.Table:
    """Give a year of deals."""
    rows = world(5, days=DAYS, per_day=1.5).rows
    return rows.append_column("event_id", pa.array([f"e{i}" for i in range(rows.num_rows)]))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """Give a workspace of three customers with orders and a pipeline whose deals have predictions."""
    ledger = create(tmp_path_factory.mktemp("both") / "w", config_text=TOML, clock=lambda: AS_OF)
    archive.append(ledger, "deal_stage", stages(), source="made up")
    days = pa.array([AS_OF - timedelta(days=d) for d in (90, 40, 9)], pa.timestamp("us", tz="UTC"))
    orders = {"event_id": ["o1", "o2", "o3"], "subject_id": ["ann", "bob", "cat"], "ts": days, "revenue": [9.0] * 3}
    archive.append(ledger, "order", pa.table(orders), source="made up")
    for recipe in ("deal_win", "pipeline"):
        verbs.predict(ledger, verbs.fit(ledger, recipe, as_of=AS_OF), as_of=AS_OF)
    yield ledger
    ledger.close()


def test_a_play_for_deals_reaches_every_open_deal_and_no_customer(both: Ledger) -> None:
    """The audience is the open deals with a chance; each is worth its chance times its amount."""
    decided = verbs.decide(both, "follow_up", as_of=AS_OF, mode="replay")
    said = verbs.predict(both, "pipeline", as_of=AS_OF, publish=False)
    assert set(decided.table["subject_id"].to_pylist()) == set(said["subject_id"].to_pylist())
    assert decided.by_action["call_them"] > 0.7 * decided.decided  # the rest is explored, by a draw of the workspace
    amounts = dict(zip(said["subject_id"].to_pylist(), said["amount"].to_pylist(), strict=True))
    chances = dict(zip(said["subject_id"].to_pylist(), said["win_probability"].to_pylist(), strict=True))
    row = decided.table.slice(0, 1).to_pylist()[0]
    none = next(c for c in row["candidates"] if c["action_id"] == "none")
    assert none["response_probability"] == pytest.approx(chances[row["subject_id"]])
    assert none["expected_value"] == pytest.approx(chances[row["subject_id"]] * amounts[row["subject_id"]])


def test_a_play_for_customers_whose_audience_is_empty_leaves_deals_alone(both: Ledger) -> None:
    """Everybody means the three customers, in bulk and one at a time."""
    decided = verbs.decide(both, "everybody", as_of=AS_OF, mode="replay")
    assert decided.table["subject_id"].to_pylist() == ["ann", "bob", "cat"]
    deal = verbs.predict(both, "deal_win", as_of=AS_OF)["subject_id"][0].as_py()
    one = verbs.decide_one(both, "everybody", deal, mode="replay")
    assert {c.removed_by for c in one.candidates if c.action_id == "banner"} == {"audience"}


def test_one_deal_is_decided_as_in_the_list(both: Ledger) -> None:
    """A published deal gets the action of the list; a customer is outside the audience of a play for deals."""
    row = verbs.decide(both, "follow_up", as_of=AS_OF, mode="replay").table.slice(0, 1).to_pylist()[0]
    one = verbs.decide_one(both, "follow_up", row["subject_id"], mode="replay")
    assert (one.action_id, one.choice_probability) == (row["action_id"], row["choice_probability"])
    ann = verbs.decide_one(both, "follow_up", "ann", mode="replay")
    assert {c.removed_by for c in ann.candidates if c.action_id == "call_them"} == {"audience"}


def test_without_a_recipe_about_deals_a_play_for_deals_says_which_to_fit(tmp_path: Path) -> None:
    """Nobody is an error that names the remedy."""
    with create(tmp_path / "w", config_text=TOML) as ledger, pytest.raises(DataError, match="nextbest fit deal_win"):
        verbs.decide(ledger, "follow_up")


def test_a_declared_recipe_that_is_not_fitted_yet_is_noted_and_a_misspelt_one_refused(both: Ledger) -> None:
    """Its probability is unknown for everyone, and the note says what to fit; a typing error is still one."""
    decided = verbs.decide(both, "shoes", as_of=AS_OF, mode="replay")
    assert decided.decided == 0
    assert any("nextbest fit buys_shoes" in note for note in decided.notes)
    with pytest.raises(ConfigError, match="'buys_shoos_probability', which nobody knows"):
        verbs.decide(both, "typo", as_of=AS_OF, mode="replay")


def test_settings_of_a_declared_recipe_are_read_from_text(both: Ledger) -> None:
    """`fit buys_shoes --set horizon_days=21` sets what the recipe behind the name has."""
    assert operations.settings_of(both, "buys_shoes", ["horizon_days=21"]) == {"horizon_days": 21}


def test_a_deal_is_explained_where_nobody_has_ordered(tmp_path: Path) -> None:
    """The rate of a stage has no reasons, and needs no features of orders."""
    with create(tmp_path / "w", clock=lambda: AS_OF) as ledger:
        archive.append(ledger, "deal_stage", stages(), source="made up")
        fitted = verbs.fit(ledger, "pipeline", as_of=AS_OF)
        deal = verbs.predict(ledger, fitted, as_of=AS_OF)["subject_id"][0].as_py()
        told = explain_prediction(ledger, fitted, deal, as_of=AS_OF)
    assert told.details["reasons"] == []
    assert "pipeline" in told.sentences[0]


def test_a_recipe_without_subjects_says_so(both: Ledger) -> None:
    """Asked about one subject, a forecast of periods names what can be asked instead."""
    fitted = verbs.fit(both, "sales_forecast", as_of=AS_OF)
    assert fitted.report.status == "ok"
    with pytest.raises(UsageError, match="nextbest predict sales_forecast --out FILE"):
        verbs.explain(both, "sales_forecast", "2026-01-01")
