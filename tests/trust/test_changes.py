"""What would change a prediction: real values, as few as do it, and they really do."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from tests.trust.makers import Known, column, is_plan, rows

from nextbest.trust.changes import changeable_of, changes


def _apply(row: pa.Table, found: tuple[object, ...]) -> pa.Table:
    for change in found:
        name = change.column  # type: ignore[attr-defined]
        to = change.to if name == "plan" else float(change.to)  # type: ignore[attr-defined]
        row = row.set_column(row.column_names.index(name), name, pa.array([to]))
    return row


def test_one_change_that_does_it_is_enough() -> None:
    """Every alternative has one change, holds a value of the data, and carries the model across the threshold."""
    table = rows()
    model = Known(formula=lambda t: 0.9 * (column(t, "days") > 30) + 0.05 * is_plan(t, "pro"))
    row = table.slice(int(np.argmax(column(table, "days") > 30)), 1)
    found = changes(model, row, table, changeable=("days", "plan"), threshold=0.5)
    assert [len(a.changes) for a in found.found] == [1]
    assert found.found[0].changes[0].column == "days"
    assert float(found.found[0].changes[0].to) in set(column(table, "days"))
    assert model.predict(_apply(row, found.found[0].changes))["prediction"][0].as_py() < 0.5


def test_two_changes_when_one_is_not_enough() -> None:
    """Where only both together cross, a pair is given, and it crosses upwards as well."""
    table = rows()
    model = Known(formula=lambda t: 1.0 * (column(t, "days") > 30) * is_plan(t, "pro"))
    low = (column(table, "days") <= 30) & is_plan(table, "basic")
    row = table.slice(int(np.argmax(low)), 1)
    found = changes(model, row, table, changeable=("days", "plan", "noise"), threshold=0.5)
    assert {c.column for c in found.found[0].changes} == {"days", "plan"}
    assert model.predict(_apply(row, found.found[0].changes))["prediction"][0].as_py() > 0.5


def test_the_easiest_change_comes_first() -> None:
    """Of values that cross, the nearest is taken."""
    table = rows()
    model = Known(formula=lambda t: column(t, "days"))
    row = table.slice(int(column(table, "days").argmax()), 1)
    found = changes(model, row, table, changeable=("days",), threshold=40.0)
    tried = sorted({float(np.quantile(column(table, "days"), q, method="nearest")) for q in np.linspace(0.05, 0.95, 9)})
    assert float(found.found[0].changes[0].to) == pytest.approx(max(t for t in tried if t < 40), abs=1)


def test_what_cannot_be_crossed_is_said_so() -> None:
    """Nothing is made up when no one or two changes cross; the threshold defaults to the average prediction."""
    table = rows()
    model = Known(formula=lambda t: column(t, "noise"))
    found = changes(model, table.slice(0, 1), table, changeable=("days", "plan"))
    assert found.found == ()
    assert "No one or two changes among 2 columns" in found.why
    assert found.threshold == pytest.approx(column(table, "noise").mean())


def test_what_somebody_is_cannot_be_changed() -> None:
    """Age, gender, since when and the past are left alone unless the user names them."""
    names = [
        "Age",
        "gender",
        "SeniorCitizen",
        "customer_since",
        "orders_ever",
        "Contract",
        "MonthlyCharges",
        "orders_30d",
    ]
    assert changeable_of(names) == ("Contract", "MonthlyCharges", "orders_30d")
    assert changeable_of(names, ("Age",)) == ("Age",)
