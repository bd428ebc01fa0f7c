"""A direction that was asked for holds for every row, whatever the label wants."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from nextbest.errors import UsageError
from nextbest.models import logistic
from nextbest.models.boosting import Boosting

TASKS = ("classification", "regression", "tweedie")


def _against(task: str, seed: int, rows: int = 900) -> tuple[pa.Table, pa.Table]:
    """Give a world whose label rises and falls with x, falls with the days, and mixes both with a kind."""
    draw = np.random.default_rng(seed)
    x, spend, kind = draw.normal(size=rows), draw.gamma(2.0, 50.0, rows), draw.choice(list("abc"), rows)
    days = draw.integers(19_000, 20_000, rows)
    score = np.sin(2 * x) - 0.4 * x - 0.005 * spend + (kind == "b") * x - 0.001 * (days - 19_500)
    made = {
        "classification": (draw.random(rows) < 1 / (1 + np.exp(-score))).astype(float),
        "regression": score + draw.normal(size=rows),
        "tweedie": np.maximum(0.0, score + draw.normal(size=rows)),
    }
    table = pa.table({
        "kind": kind, "x": pa.array(x, mask=draw.random(rows) < 0.1), "spend": spend,
        "since": days.astype("datetime64[D]"),
    })  # fmt: skip
    return table, pa.table({"label": made[task]})


def _lowest_step(model: Boosting, table: pa.Table, column: str, grid: np.ndarray) -> float:
    """Give the largest fall of the prediction (as a negative number) as one column of a row goes up along a grid."""
    steps = []
    for row in range(0, 60, 5):
        rows = pa.concat_tables([table.slice(row, 1)] * len(grid))
        rows = rows.set_column(rows.column_names.index(column), column, pa.array(grid))
        steps.append(float(np.diff(model.predict(rows)["prediction"].to_numpy()).min()))
    return min(steps)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("task", TASKS)
def test_a_direction_holds_for_every_row(task: str, seed: int) -> None:
    """Moving a column up never lowers the blended, calibrated prediction, where the free model falls."""
    table, label = _against(task, seed)
    grid = np.concatenate([np.linspace(-9, 9, 300), [1e6]])
    free = Boosting(task=task, num_threads=1).fit(table, label)
    held = Boosting(task=task, num_threads=1, monotone={"x": "up", "spend": "up"}).fit(table, label)
    assert _lowest_step(free, table, "x", grid) < -0.01
    for column in ("x", "spend"):
        assert _lowest_step(held, table, column, grid) >= -1e-12


def test_down_is_the_mirror_of_up() -> None:
    """With "down" the negated column never raises the prediction, and the better direction is the better model."""
    table, label = _against("regression", 3)
    model = Boosting(task="regression", num_threads=1, monotone={"spend": "down"}).fit(table, label)
    turned = table.set_column(2, "spend", pa.array(np.linspace(1500.0, 0.0, table.num_rows)))
    rows = pa.concat_tables([table.slice(7, 1)] * table.num_rows).set_column(2, "spend", turned["spend"])
    said = model.predict(rows)["prediction"].to_numpy()
    assert (np.diff(said) >= -1e-12).all()
    assert said[-1] - said[0] > 0.1


def test_a_date_keeps_its_direction_within_a_month_and_weekday() -> None:
    """Of a date the days have the direction: a later one of the same month and weekday never scores lower."""
    table, label = _against("regression", 4)
    model = Boosting(task="regression", num_threads=1, monotone={"since": "up"}).fit(table, label)
    # 28 years on, weekday and month come again; 364 days on, weekday and (within a month) month do
    grid = (np.datetime64("1995-06-14") + np.arange(0, 364 * 40, 364 * 1)).astype("datetime64[D]")
    same = [d for d in grid if str(d)[5:7] == "06"]
    assert len(same) > 5
    assert _lowest_step(model, table, "since", np.array(same)) >= -1e-12


def test_what_repeats_a_column_does_not_take_its_direction_away() -> None:
    """A column with a direction stays when an earlier one says the same: the other one is the echo."""
    table, label = _against("regression", 5)
    double = table.add_column(0, "twice", pa.array(2 * table["spend"].to_numpy()))
    model = Boosting(task="regression", num_threads=1, monotone={"spend": "up"}).fit(double, label)
    assert "spend" in model.columns
    assert {"column": "twice", "why": "says the same as 'spend'"} in model.left_out


@pytest.mark.parametrize(
    ("monotone", "message"),
    [
        ({"kind": "up"}, r"'kind' holds words: they have no order"),
        ({"spent": "up"}, r"no column 'spent', which monotone names\. Did you mean 'spend'\?"),
        ({"spend": "rising"}, r"monotone for 'spend' is 'up' or 'down'\. Got 'rising'"),
    ],
)
def test_a_direction_that_cannot_be_kept_is_refused(monotone: dict[str, str], message: str) -> None:
    """Words, unknown columns and unknown directions are refused by name."""
    table, label = _against("classification", 6)
    with pytest.raises(UsageError, match=message):
        Boosting(num_threads=1, monotone=monotone).fit(table, label)


def test_signs_of_a_line_agree_with_their_direction() -> None:
    """Terms of the wrong sign go and the rest is learnt anew; without a direction nothing changes."""
    draw = np.random.default_rng(0)
    matrix = draw.normal(size=(500, 3))
    actual = (draw.random(500) < 1 / (1 + np.exp(-(matrix[:, 0] - matrix[:, 1])))).astype(float)
    free = logistic.fit(matrix, actual, task="classification", levels={})
    assert logistic.fit(matrix, actual, task="classification", levels={}, rising={}) == free
    held = logistic.fit(matrix, actual, task="classification", levels={}, rising={0: -1, 1: -1})
    assert not [t for t in held.terms if t.source == 0]
    weights = [t.weight for t in held.terms if t.source == 1]
    assert max(weights) <= 0
    assert min(weights) < 0
    assert held.terms[-1].source == 2
