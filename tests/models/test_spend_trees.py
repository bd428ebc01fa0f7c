"""Trees for spend keep the contract and the total, and do not run away."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from nextbest import testing
from nextbest.errors import DataError, ModelError
from nextbest.models.spend_trees import SpendTrees


def sample(seed: int = 0, rows: int = 600) -> tuple[pa.Table, pa.Table]:
    """Give features and spends that follow the first of them."""
    random = np.random.default_rng(seed)
    rate, other = random.gamma(2, 1, rows), random.normal(size=rows)
    spend = random.poisson(rate) * random.gamma(3, 10, rows)
    return pa.table({"revenue_365d": rate, "other": other}), pa.table({"revenue": spend})


def test_the_model_keeps_the_contract() -> None:
    """SpendTrees passes the suite that every model passes."""
    testing.check_model(SpendTrees(), *sample())


def test_the_total_is_that_of_the_label() -> None:
    """Predictions on the rows learnt from add up to what was spent, and order customers."""
    features, label = sample()
    said = SpendTrees().fit(features, label).predict(features)["prediction"].to_numpy()
    assert said.sum() == pytest.approx(label["revenue"].to_numpy().sum(), rel=1e-9)
    assert np.corrcoef(said, features["revenue_365d"].to_numpy())[0, 1] > 0.8


def test_far_away_customers_get_what_the_largest_got() -> None:
    """A customer a thousand times larger than any seen is predicted like the largest seen."""
    features, label = sample()
    fitted = SpendTrees().fit(features, label)
    largest = pa.table({"revenue_365d": [features["revenue_365d"].to_numpy().max()], "other": [0.0]})
    absurd = pa.table({"revenue_365d": [1e4], "other": [0.0]})
    assert fitted.predict(absurd).equals(fitted.predict(largest))


def test_what_cannot_be_learnt_is_refused() -> None:
    """Negative or all-zero spends, an unfitted model and missing columns are refused in words."""
    features, _ = sample(rows=50)
    for spends in (np.full(50, -1.0), np.zeros(50)):
        with pytest.raises(DataError, match="one amount >= 0 per row"):
            SpendTrees().fit(features, pa.table({"revenue": spends}))
    with pytest.raises(ModelError, match="has not learnt yet"):
        SpendTrees().predict(features)
    fitted = SpendTrees().fit(*sample())
    with pytest.raises(DataError, match="not there: other"):
        fitted.predict(features.drop_columns("other"))


def test_what_columns_add_sums_to_the_prediction() -> None:
    """The shares of a row and the base sum to the logarithm of its amount."""
    features, label = sample()
    fitted = SpendTrees().fit(features, label)
    names, shares = fitted.contributions(features)
    assert names == ("revenue_365d", "other")
    assert np.exp(shares.sum(axis=1)) == pytest.approx(fitted.predict(features)["prediction"].to_numpy(), rel=1e-6)
