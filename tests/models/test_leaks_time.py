"""Columns that tell how long something lasted are found; what was known at the start is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

from nextbest.models import leaks

if TYPE_CHECKING:
    from pathlib import Path


def _lives(seed: int, rows: int = 2000) -> tuple[dict[str, object], np.ndarray, np.ndarray]:
    """Give honest columns, months, and whether the end was seen; who pays more leaves earlier."""
    draw = np.random.default_rng(seed)
    price = draw.uniform(20, 120, rows)
    ends = draw.exponential(60 * np.exp(-(price - 70) / 80))
    looked = draw.uniform(1, 72, rows)
    months = np.ceil(np.minimum(ends, looked))
    honest = {
        "price": price, "plan": draw.choice(["one", "two"], rows), "age": draw.integers(18, 80, rows),
        "contract": np.where(draw.random(rows) < months / 90, "year", "month"),
    }  # fmt: skip
    return honest, months, (ends < looked).astype(float)


def _planted(months: np.ndarray, honest: dict[str, object], seed: int) -> dict[str, object]:
    draw = np.random.default_rng([seed, 9])
    began = np.datetime64("2025-01-01") - (months * 30).astype(np.int64).astype("timedelta64[D]")
    return {
        "total_paid": months * honest["price"] * draw.uniform(0.97, 1.03, len(months)),
        "total_doubled": 2 * months * honest["age"],
        "squared": months**2,
        "bands": np.array([f"band {int(m) // 12}" for m in months]),
        "invoices": months + draw.integers(-2, 3, len(months)),
        "began": began,
        "days": 30.4 * months,
    }


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["total_paid", "total_doubled", "squared", "bands", "invoices", "began", "days"])
def test_every_shape_of_the_duration_is_found(name: str, seed: int) -> None:
    """Products with a column that is there, powers, bands, counts and start dates are named; nothing else is."""
    honest, months, seen = _lives(seed)
    table = pa.table({**honest, name: _planted(months, honest, seed)[name]})
    found = leaks.find_for_time(table, months, seen, seed=seed)
    assert [x["column"] for x in found] == [name]
    assert found[0]["why"].startswith("gives the time away: ")


@pytest.mark.parametrize("seed", range(5))
def test_what_was_known_at_the_start_is_kept(seed: int) -> None:
    """Price, plan, age and a contract that goes with long stays are no leaks."""
    honest, months, seen = _lives(seed)
    assert leaks.find_for_time(pa.table(honest), months, seen) == []


def test_a_start_date_tells_the_time_of_those_who_are_still_there() -> None:
    """When all are looked at on one day, the start date is the duration of those that have not ended."""
    draw = np.random.default_rng(3)
    began = draw.integers(0, 1500, 1500)
    ends = draw.exponential(900, 1500)
    seen = ends < 1500 - began
    lasted = np.where(seen, ends, 1500 - began)
    table = pa.table({"start": pa.array((18_000 + began).astype("datetime64[D]")), "x": draw.normal(size=1500)})
    found = leaks.find_for_time(table, lasted, seen.astype(float))
    assert [x["column"] for x in found] == ["start"]
    assert "have not ended" in found[0]["why"]


def test_total_charges_give_the_tenure_away(shared_data: Path) -> None:
    """In the real table of customers the total charges, months times price, are found and nothing else is."""
    table = csv.read_csv(shared_data / "churn-telco" / "Telco-Customer-Churn.csv")
    months = np.asarray(table["tenure"], np.float64)
    seen = (np.array(table["Churn"].to_pylist()) == "Yes").astype(float)
    found = leaks.find_for_time(table.drop_columns(["tenure", "Churn"]), months, seen)
    assert [x["column"] for x in found] == ["TotalCharges"]


def test_few_rows_prove_nothing_about_time() -> None:
    """With forty rows nothing is named."""
    time = np.arange(40.0)
    assert leaks.find_for_time(pa.table({"x": time}), time, np.ones(40)) == []
