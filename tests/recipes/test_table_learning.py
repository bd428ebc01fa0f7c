"""How a flat table is learnt can be set: directions, selection, a search, and each is told in the report."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nextbest import registry
from nextbest.errors import ConfigError, UsageError
from nextbest.models.boosting import Boosting
from nextbest.recipes.table import Asked, fit, predict

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
RECIPES = ("churn", "lead_score", "sales_ready", "propensity", "deal_win")


def _table(rows: int = 400, seed: int = 0) -> pa.Table:
    draw = np.random.default_rng(seed)
    price, tenure, kind = draw.gamma(2.0, 20.0, rows), draw.integers(0, 60, rows), draw.choice(["a", "b"], rows)
    score = 0.02 * price - 0.05 * tenure + (kind == "a")
    left = np.where(draw.random(rows) < 1 / (1 + np.exp(-score)), "yes", "no")
    return pa.table({"price": price, "tenure": tenure, "kind": kind, "day": np.arange(rows), "left": left})


def _fit(**given: Any) -> Any:
    return fit(Asked(recipe="churn", prediction="p", table=_table(), label="left", **given), None, as_of=AS_OF)


def test_a_direction_is_kept_and_told() -> None:
    """A recipe's direction reaches the model, holds for its predictions and stands in the report."""
    fitted = _fit(monotone={"price": "down"})
    assert fitted.report.details["monotone"] == {"price": "down"}
    rows = pa.table({"price": np.linspace(0, 500, 50), "tenure": [5] * 50, "kind": ["a"] * 50, "day": [7] * 50})
    asked = Asked(recipe="churn", prediction="p", table=rows, label="left")
    assert np.diff(predict(asked, fitted)["p"].to_numpy()).max() <= 1e-12


def test_selection_is_told_as_columns_left_out() -> None:
    """What selection leaves out is named with its reason."""
    draw = np.random.default_rng(1)
    noise = {f"noise {i}": draw.normal(size=400) for i in range(30)}
    table = pa.table({**{n: _table()[n] for n in ("tenure", "left")}, **noise})
    asked = Asked(recipe="churn", prediction="p", table=table, label="left", select="auto")
    report = fit(asked, None, as_of=AS_OF).report
    named = {x["column"] for x in report.left_out if "shuffled copies" in x["why"]}
    assert "tenure" not in named
    assert len(named) >= 15


@pytest.mark.parametrize("time", [None, "day"])
def test_a_search_is_judged_by_rows_that_no_trial_saw(time: str | None) -> None:
    """The report says which rows judged, how many trials there were, and what they found; twice the same."""
    first, second = (_fit(tune_trials=3, time=time) for _ in range(2))
    assert "which none of 3 trials of settings was judged on" in first.report.evaluation
    assert first.report.evaluation.startswith("80 rows" if time is None else "80 rows that are the latest by 'day'")
    assert first.report.details["tuning"]["trials"] == 3
    assert first.model_id == second.model_id
    assert isinstance(first.parts["model"], Boosting)
    assert dict(first.parts["model"].tuned) == first.report.details["tuning"]["settings"]


def test_settings_that_a_model_does_not_have_are_refused() -> None:
    """A scorecard takes no direction, no selection and no search, and says so."""
    for given in ({"monotone": {"price": "up"}}, {"select": "auto"}, {"tune_trials": 2}):
        with pytest.raises(UsageError, match="The model 'scorecard' has no setting"):
            _fit(model="scorecard", **given)


def test_without_a_table_the_settings_are_refused() -> None:
    """Learning from events knows none of them, and says so instead of ignoring them."""
    recipe = registry.make("recipes", "propensity", {"event": "order", "monotone": {"price": "up"}})
    with pytest.raises(UsageError, match="takes monotone only to learn the label of a flat table"):
        recipe.fit(None, as_of=AS_OF)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_that_learns_tables_takes_them_as_text(name: str) -> None:
    """The settings can be given as on a command line, and are checked by type."""
    texts = {"monotone": "price=up,tenure=down", "select": "auto", "tune_seconds": "60", "tune_trials": "5"}
    recipe = registry.make("recipes", name, registry.from_text("recipes", name, {**texts, "model": "boosting"}))
    assert recipe.monotone == {"price": "up", "tenure": "down"}
    assert (recipe.select, recipe.tune_seconds, recipe.tune_trials) == ("auto", 60, 5)
    with pytest.raises(ConfigError, match="'monotone' of"):
        registry.make("recipes", name, {"monotone": 3})
