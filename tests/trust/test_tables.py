"""What a recipe adds to its report is shown as tables and facts that people read."""

from __future__ import annotations

import json
from typing import Any

from nextbest.trust.about import about, rows_are
from nextbest.trust.tables import MOST_ROWS, said, scorecard, table, tables
from nextbest.types import Fitted, Report

STAGES = [
    {"bottleneck": "time", "deals": 757, "share_of_time": 0.4142, "share_of_time_high": 0.44, "share_of_time_low": 0.39,
     "stage": "Qualify"},
    {"bottleneck": "", "deals": 1419, "share_of_time": 0.25, "share_of_time_high": 0.28, "share_of_time_low": 0.23,
     "stage": "Demo"},
]  # fmt: skip


def _fitted(recipe: str, details: dict[str, Any] | None = None, **settings: Any) -> Fitted:
    report = Report(recipe=recipe, status="ok", details=details or {})
    return Fitted(model_id="m", recipe=recipe, settings=settings, as_of="", parts={}, report=report)


def test_rows_become_a_table_named_first_with_intervals_in_brackets() -> None:
    """What a row is about comes first, ends stand behind their middle, shares are in percent, thousands have commas."""
    found, facts = tables({"stages": STAGES})
    assert facts == []
    assert found[0].title == "Stages"
    assert found[0].headings == ("Stage", "Deals", "Share of time", "Bottleneck")
    assert found[0].rows == (
        ("Qualify", "757", "41.4% (39% to 44%)", "time"),
        ("Demo", "1,419", "25% (23% to 28%)", ""),
    )
    assert found[0].numeric == (False, True, True, False)


def test_plain_ends_belong_to_the_figure_of_their_row() -> None:
    """Columns called low and high stand in brackets behind the forecast they belong to."""
    rows = [{"from": "2025-01-01", "forecast": 120.0, "low": 100.0, "high": 150.0}]
    assert table(rows, title="Past periods").rows == (("2025-01-01", "120 (100 to 150)"),)


def test_single_values_come_together_and_mappings_as_facts() -> None:
    """A mapping is a list of facts under its name, single values are one list, and empty ones are not shown."""
    _, facts = tables({"costs": {"missing_per_piece": 4.0}, "series": 12, "unit": "", "causes": {}, "by": "table"})
    assert [(f.title, f.facts) for f in facts] == [
        ("Costs", (("Missing per piece", "4"),)),
        ("Other facts", (("Series", "12"),)),
    ]


def test_no_cell_shows_a_raw_value() -> None:
    """Lists of rows within a row, truth values, and what is missing are words."""
    drivers = [{"column": "visits", "deviations": -0.93, "low": -0.94, "high": -0.92}]
    assert said(drivers) == "visits -0.93 (-0.94 to -0.92)"
    assert [said(v) for v in (True, None, float("nan"), {"share": 0.5})] == ["yes", "-", "-", "share 50%"]


def test_a_long_table_says_how_many_rows_it_leaves_out() -> None:
    """Rows beyond the most that are shown are counted; a scorecard is shown whole."""
    rows = [{"characteristic": "tenure", "bin": str(i), "points": i} for i in range(MOST_ROWS + 5)]
    assert (table(rows, title="x").more, len(table(rows, title="x").rows)) == (5, MOST_ROWS)
    card = scorecard(rows)
    assert (card.more, len(card.rows)) == (0, MOST_ROWS + 5)
    assert [r[0] for r in card.rows[:3]] == ["tenure", "", ""]


def test_every_recipe_says_what_was_asked() -> None:
    """The sentence is the recipe's own, with its horizon, or the label's; a rep's label is no prediction."""
    assert about(_fitted("churn", {"by": "silence"}, horizon_days=60)) == "Who stops ordering within 60 days."
    assert about(_fitted("churn", {"by": "table"}, label="left", positive="yes")) == (
        "The probability that 'left' is 'yes'."
    )
    assert "probability" not in about(_fitted("rep_performance", label="stage", positive="Won"))
    assert about(_fitted("something_new", horizon_days=30)) == "Something new over the next 30 days."
    assert rows_are(_fitted("pipeline")) == "deals that are over"


def test_tables_are_the_same_from_a_report_that_was_kept() -> None:
    """The order of columns does not depend on the order of names: a kept report comes back sorted."""
    kept = json.loads(json.dumps({"stages": STAGES}, sort_keys=True))
    turned = {"stages": [dict(reversed(list(row.items()))) for row in STAGES]}
    assert tables(kept)[0][0].headings == tables(turned)[0][0].headings
