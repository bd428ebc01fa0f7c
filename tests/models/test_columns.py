"""Values worth trying are values that occur, and never one that few hold."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from nextbest.models import columns


def test_a_scale_is_tried_at_its_quantiles() -> None:
    """The rows given hold the 5% to 95% quantiles, rising, also when numbers are written as text."""
    values = np.random.default_rng(0).permutation(1_000).astype(float)
    for array in (pa.array(values), pa.array([f"{v:g}" for v in values])):
        column = columns.read(pa.table({"x": array}), "x")
        tried = values[columns.places(column)]
        assert column.graded
        np.testing.assert_allclose(tried, np.linspace(0.05, 0.95, 9) * 999, atol=0.51)


def test_levels_of_few_rows_are_not_tried() -> None:
    """A level of 29 rows may be somebody's: only those of 30 and more are given, most frequent first."""
    table = pa.table({"plan": ["rare"] * 29 + ["a"] * 30 + ["b"] * 40 + [None] * 5})
    column = columns.read(table, "plan")
    assert [column.levels[column.codes[r]] for r in columns.places(column)] == ["b", "a"]
    assert int(column.missing.sum()) == 5


def test_few_numbers_are_levels_and_dates_a_scale() -> None:
    """A flag of 0 and 1 has two levels; dates are days, and read as dates again."""
    flag = columns.read(pa.table({"flag": [0, 1] * 50}), "flag")
    assert not flag.graded
    assert [columns.text(flag, r) for r in columns.places(flag)] == ["0", "1"]
    days = [date(2026, 1, 1) + timedelta(days=k) for k in range(100)]
    dated = columns.read(pa.table({"when": [d.isoformat() for d in days]}), "when")
    assert dated.dated
    assert columns.text(dated, 3) == "2026-01-04"


def test_holding_puts_values_of_other_rows_in() -> None:
    """Each row gets what the named row of the source holds, in the type of the source."""
    source = pa.table({"x": ["a", "b", None]})
    given = columns.holding(pa.table({"x": ["z", "z"], "y": [1, 2]}), source, {"x": np.array([2, 1])})
    assert given.to_pydict() == {"x": [None, "b"], "y": [1, 2]}


def test_numbers_are_told_in_few_digits() -> None:
    """Large numbers are rounded to three digits, so that nobody's own amount is shown."""
    assert columns.short(123_456.78) == "123,000"
    assert columns.short(0.123456) == "0.123"
    assert columns.value_of(None) == "missing"
