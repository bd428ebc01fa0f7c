"""Equal histories are counted once, and nobody is lost."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextbest.errors import DataError
from nextbest.models.grouping import group, histories


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30), st.integers(0, 9)), min_size=1, max_size=60),
    st.sampled_from([1.0, 1 / 7, 0.01, np.pi]),
)
def test_groups_are_the_distinct_rows(rows: list[tuple[int, int, int]], unit: float) -> None:
    """Rows, counts and places equal those of the slow way, on every grid of times and off all of them."""
    x = np.array([float(r[0]) for r in rows])
    tx = np.where(x > 0, np.array([float(r[1]) for r in rows]), 0.0) * unit
    age = tx + (np.array([float(r[2]) for r in rows]) + 1) * unit
    found = group(x, tx, age)
    together = np.column_stack([x, tx, age])
    rebuilt = np.column_stack([found.frequency, found.recency, found.age])[found.inverse]
    assert rebuilt == pytest.approx(together, abs=1e-9)
    assert found.counts.tolist() == np.bincount(found.inverse).tolist()
    assert len(found.counts) == len({tuple(np.round(row, 9)) for row in together})


def test_a_million_customers_have_few_rows() -> None:
    """Whole weeks of one year give at most a few thousand distinct rows, whatever the number of customers."""
    random = np.random.default_rng(0)
    x = random.integers(0, 10, 200_000).astype(float)
    tx = np.where(x > 0, random.integers(0, 40, 200_000), 0.0)
    found = group(x, tx, np.full(200_000, 40.0))
    assert len(found.counts) <= 10 * 40
    assert found.counts.sum() == found.customers == 200_000


def test_missing_columns_are_named() -> None:
    """A table without the three columns is refused with those that lack."""
    with pytest.raises(DataError, match="missing: recency, T"):
        histories(pa.table({"frequency": [1.0]}))
