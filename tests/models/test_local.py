"""A model without parts is explained by a line near the row, which is right where the model is a line."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from tests.trust.makers import Adding, Known, column, is_plan, rows

from nextbest.errors import UsageError
from nextbest.models import contributions, local


def test_a_line_gives_back_the_coefficients_of_a_linear_model() -> None:
    """For 3 days - 2 orders + 10 if pro: slopes 3 and -2, and 10 for being pro; the line follows the model exactly."""
    table = rows()
    model = Known(formula=lambda t: 3 * column(t, "days") - 2 * column(t, "orders") + 10 * is_plan(t, "pro"))
    at = int(np.argmax(is_plan(table, "pro")))
    found = local.explain(lambda t: model.predict(t)["prediction"].to_numpy(), table.slice(at, 1), table,
                          names=table.column_names)  # fmt: skip
    weights = dict(zip(found.names, found.weights, strict=True))
    assert weights == pytest.approx({"days": 3.0, "orders": -2.0, "plan": 10.0, "noise": 0.0}, abs=0.01)
    assert found.fidelity == pytest.approx(1.0, abs=1e-6)
    assert found.base + found.contributions.sum() == pytest.approx(
        model.predict(table)["prediction"][at].as_py(), abs=0.01
    )
    own = column(table, "days")
    assert found.contributions[0] == pytest.approx(3 * (own[at] - own.mean()), abs=0.2)


def test_a_crooked_model_has_a_low_fidelity() -> None:
    """Where a straight line cannot follow, the fidelity says so; the same seed gives the same line."""
    table = rows()
    model = Known(formula=lambda t: np.sin(9 * column(t, "days")) * np.cos(7 * column(t, "orders")))
    score = lambda t: model.predict(t)["prediction"].to_numpy()  # noqa: E731
    lines = [local.explain(score, table.slice(0, 1), table, names=table.column_names) for _ in range(2)]
    assert lines[0].fidelity < 0.5
    np.testing.assert_array_equal(lines[0].contributions, lines[1].contributions)


def test_a_missing_value_is_a_reason_too() -> None:
    """A row whose number is missing gets what missing adds."""
    table = rows().append_column("gap", pa.array([None if k % 3 == 0 else float(k % 17) for k in range(600)]))
    model = Known(formula=lambda t: 4.0 * np.array([v is None for v in t["gap"].to_pylist()]))
    found = local.explain(lambda t: model.predict(t)["prediction"].to_numpy(), table.slice(0, 1), table,
                          names=table.column_names)  # fmt: skip
    assert found.names[int(np.abs(found.contributions).argmax())] == "gap"
    assert found.contributions.max() == pytest.approx(4 * 2 / 3, abs=0.05)


def test_the_door_asks_a_model_for_its_own_contributions() -> None:
    """A model with a method `contributions` is asked, and its parts sum to its score."""
    table = rows(50)
    names, shares = contributions.contributions(Adding(), table)
    assert names == ("days", "orders")
    np.testing.assert_allclose(shares.sum(axis=1), Adding().predict(table)["prediction"].to_numpy())
    assert contributions.top_features(Adding(), table)[0]["sentence"] == "days: the higher, the more"


def test_the_door_draws_a_line_for_any_other_model() -> None:
    """A model without parts needs rows to borrow values from; its reasons then hold the line's fidelity."""
    table = rows()
    model = Known(formula=lambda t: 3 * column(t, "days"))
    with pytest.raises(UsageError, match="Give `background` rows"):
        contributions.reasons(model, table.slice(0, 1))
    found = contributions.reasons(model, table.slice(0, 1), count=1, background=table)
    assert found[0][0]["feature"] == "days"
    assert found[0][0]["fidelity"] == 1.0
