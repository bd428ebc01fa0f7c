"""What commands tell a person comes from the same document as --json, and says the figures that matter."""

from __future__ import annotations

from typing import Any

import pytest

from nextbest.cli import render
from nextbest.cli.stories import STORIES

FILE = {
    "file": "orders.csv",
    "recognised_as": {"system": "file", "table": "order", "confidence": 0.8},
    "rows_read": 10,
    "rows_accepted": 8,
    "rows_rejected": 2,
    "rejected_file": "rejects/orders.csv",
    "by_kind": {"order": 8},
    "mapping": ["order: one row per line"],
}
EFFECT: dict[str, Any] = {
    "outcome": "order", "status": "ok", "estimate": 0.1, "low": 0.05, "high": 0.15, "level": 0.95,
    "baseline": "holdout", "design": "randomised", "n": 100, "why": "",
}  # fmt: skip


def told(story: str, **said: Any) -> str:
    """Give a story as one text."""
    return "\n".join(STORIES[story](said))


def test_a_load_tells_that_nothing_is_lost_and_where_the_rejects_are() -> None:
    """Read = accepted + rejected is said, a proposed mapping is shown, and the file of rejects is named."""
    text = told("load", files=[FILE], subjects=1, duplicates_joined=0)
    assert "10 rows read = 8 accepted + 2 rejected" in text
    assert "1 subject known" in text
    assert "order: one row per line" in text
    assert "rejects/orders.csv" in text


def test_a_check_tells_what_to_do() -> None:
    """Every problem comes with its remedy; none is said to be none."""
    problem = {"code": "missing_email", "column": "email", "rows": 3, "what_to_do": "Ask for it."}
    assert "Ask for it." in told("check", tables=[{"kind": "subjects", "problems": [problem]}])
    assert told("check", tables=[{"kind": "subjects", "problems": []}]) == "No problems found."
    assert "nextbest load" in told("check", tables=[])


def test_rejected_rows_are_counted_and_a_line_stays_one_line() -> None:
    """What was rejected is said once, and a line break in the name of a column breaks nothing."""
    problem = {"code": "rejected_rows", "column": "a\nb.csv", "rows": 500, "what_to_do": "Correct them."}
    first, *_ = render.told({"tables": [{"kind": "files", "problems": [problem]}]}, "check")
    assert first == "files, a b.csv: 500 rows rejected."


def test_too_little_data_is_told_with_the_reason() -> None:
    """A fit and a measure without enough data tell why, and no figure."""
    assert told("fit", recipe="churn", status="not_enough_data", why="Load more.").endswith("Load more.")
    assert told("measure", **{**EFFECT, "status": "cannot_tell", "why": "Nobody is held out."}).endswith("held out.")


@pytest.mark.parametrize(("low", "verdict"), [(-0.05, "the interval holds 0"), (0.05, "the interval does not hold 0")])
def test_an_effect_is_told_with_its_interval(low: float, verdict: str) -> None:
    """The estimate, both bounds and whether they hold nought are said."""
    text = told("measure", **{**EFFECT, "low": low})
    assert "+0.1 per subject" in text
    assert verdict in text


def test_a_decided_play_without_anyone_says_where_plays_are_set() -> None:
    """An empty audience is told, with the place to change it."""
    text = told("decide", decided=0, by_action={}, by_arm={}, removed_by={}, expected_value=0.0)
    assert "nextbest.toml" in text


FIT: dict[str, Any] = {"recipe": "r", "status": "ok", "rows": 900, "why": "", "evaluation": "later rows"}


def test_a_fit_tells_the_figures_that_its_baselines_have_too() -> None:
    """Log loss is among them, other figures follow, and how often intervals held is a sentence."""
    ours = {"auc": 0.8, "ece": 0.01, "log_loss": 0.41, "interval_held": 0.88, "of_ours_only": 1.0}
    text = told("fit", **FIT, metrics=ours, baselines={"majority": {"auc": 0.5, "ece": 0.0, "log_loss": 0.6}})
    assert "log loss" in text
    assert "0.410" in text
    assert "88% of cases" in text
    assert "of ours only" not in text
    days = told("fit", **FIT, metrics={"error_days": 1234.56}, baselines={"last gap": {"error_days": 2.5}})
    assert "1,235" in days
    assert "error days" in days


def test_a_fit_without_baselines_tells_its_figures_by_name() -> None:
    """No table of nothing is printed."""
    assert "  segments: 3" in told("fit", **FIT, metrics={"segments": 3.0}, baselines={})
    assert "this model" not in told("fit", **FIT, metrics={}, baselines={})


def test_rows_that_are_no_subjects_are_not_called_so() -> None:
    """A forecast tells its rows and columns, and how to read them."""
    assert told("predict", rows=1, columns=["subject_id", "p"], out="p.csv") == "1 subject scored, written to p.csv."
    text = told("predict", rows=38, columns=["period_start", "sales_forecast"])
    assert "38 rows: period_start, sales_forecast" in text
    assert "--out" in text


def test_a_watch_tells_each_recipe_and_what_to_do() -> None:
    """Drift is said in a line per recipe; without a model the remedy is named."""
    found = {"recipe": "churn", "model_id": "m", "status": "ok", "drifted": True, "why": "Fit it again.",
             "then": "2026-01-01T00:00:00+00:00", "now": "2026-02-01T00:00:00+00:00"}  # fmt: skip
    assert "churn: drifted. Fit it again." in told("watch", recipes=[found])
    assert "nextbest fit" in told("watch", recipes=[])


def test_a_list_tells_for_how_many_the_worth_is_not_known() -> None:
    """Nothing is chosen where it is not known what a response is worth, and that is said."""
    said = {"decided": 5, "by_action": {"none": 5}, "removed_by": {}, "by_arm": {}, "expected_value": 0.0}
    assert "not known for 5 subjects" in told("decide", **said, degraded=5)
    assert "not known" not in told("decide", **said, degraded=0)
