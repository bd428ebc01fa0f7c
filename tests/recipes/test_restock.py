from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nextbest.errors import ConfigError
from nextbest.recipes.restock import Restock
from nextbest.recipes.restock_replay import naive_level

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
WEEKS = np.arange("2023-06-05", "2025-12-29", 7, dtype="datetime64[D]")


def asked(usual: tuple[float, ...], *, weeks: int = len(WEEKS), seed: int = 1, **more: Any) -> Restock:
    """Give a restock of products with Poisson demand around a yearly season; its stock is 5 of each."""
    draw = np.random.default_rng(seed)
    mean = 1 + 0.5 * np.sin(2 * np.pi * np.arange(weeks) / 52)
    table = pa.table({
        "sku": np.repeat([f"p{i}" for i in range(len(usual))], weeks), "week": np.tile(WEEKS[:weeks], len(usual)),
        "units": np.concatenate([draw.poisson(u * mean) for u in usual]).astype(np.float64),
        "stock": np.full(weeks * len(usual), 5.0),
    })  # fmt: skip
    settings = {"series": "sku", "time": "week", "value": "units", "stock": "stock", "unit_cost": 6.0, "margin": 4.0}
    return Restock(table=table, **{**settings, **more})


@pytest.mark.slow
def test_stock_lasts_as_often_as_the_costs_ask_for() -> None:
    """On a simulator of 20 products, stock replayed for a chance of 90% lasts in 84 to 96% of orders, and saves."""
    usual = tuple(np.random.default_rng(2).gamma(2.0, 40.0, 20) + 10)
    # a chance of 90%: 4 / (4 + 6 x rate x 7 / 365)
    recipe = asked(usual, holding_rate=4 / 9 / 6 * 365 / 7)
    report = recipe.fit(None, as_of=AS_OF).report
    assert report.details["costs"]["covered"] == pytest.approx(0.9)
    assert 0.84 < report.metrics["lasted"] < 0.96
    assert report.metrics["cost"] < report.baselines["mean and deviation"]["cost"]
    assert report.intervals["saved"][0] > 0
    assert report.why.startswith("Replayed, it saves")


def test_dear_stock_means_small_orders() -> None:
    """The dearer a year in stock, the lower the level; the order is what is missing to it, in whole pieces."""
    levels = []
    for rate in (0.1, 5.0, 50.0):
        recipe = asked((30.0, 80.0), holding_rate=rate)
        said = recipe.predict(None, recipe.fit(None, as_of=AS_OF), as_of=AS_OF)
        levels.append(said["order_up_to"].to_numpy())
        assert said["order_quantity"].to_pylist() == [max(u - 5.0, 0.0) for u in said["order_up_to"].to_pylist()]
        assert np.all(levels[-1] == np.round(levels[-1]))
    assert np.all(levels[0] >= levels[1])
    assert np.all(levels[1] > levels[2])


def test_without_a_known_stock_no_quantity_is_made_up() -> None:
    """The level is given, the quantity to order is null."""
    recipe = asked((30.0, 80.0), stock=None)
    said = recipe.predict(None, recipe.fit(None, as_of=AS_OF), as_of=AS_OF)
    assert said["order_quantity"].null_count == 2
    assert said["order_up_to"].null_count == 0


def test_unknown_costs_and_short_histories_are_answers() -> None:
    """Without costs, or with too few weeks, the answer is what is missing."""
    assert "unit_cost and margin" in asked((30.0,), margin=None).fit(None, as_of=AS_OF).report.why
    short = asked((30.0,), weeks=6).fit(None, as_of=AS_OF).report
    assert short.status == "not_enough_data"
    assert "holds 6 weeks" in short.why


def test_impossible_times_are_refused() -> None:
    """A review every 0 days or free stock cannot be planned for."""
    with pytest.raises(ConfigError, match="review_days >= 1"):
        asked((30.0,), review_days=0).fit(None, as_of=AS_OF)


def test_the_naive_rule_is_the_one_in_the_books() -> None:
    """Mean x periods + z x deviation x root of periods, written out: 10 x 4 + 1.645 x 2 x 2 for one in twenty."""
    past = np.array([[8.0, 12.0] * 40])
    deviation = past[0, -52:].std(ddof=1)
    expected = 40 + 1.6448536 * deviation * 2
    assert naive_level(past, 52, 4, np.array([0.95])) == pytest.approx([expected])
