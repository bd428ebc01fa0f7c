"""Columns that tell nothing go, those that tell something stay, and nobody who judges had a say."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from nextbest.errors import UsageError
from nextbest.models import evaluate, selection
from nextbest.models.boosting import Boosting
from nextbest.recipes import judged


def _sparse(columns: int, seed: int, rows: int = 300) -> tuple[pa.Table, np.ndarray]:
    """Give columns of which the first five tell something."""
    draw = np.random.default_rng([seed, columns])
    values = draw.normal(size=(rows, columns))
    score = values[:, :5] @ np.array([1.2, -1.0, 0.8, -0.6, 0.5])
    actual = (draw.random(rows) < 1 / (1 + np.exp(-score))).astype(float)
    return pa.table({f"c{i}": values[:, i] for i in range(columns)}), actual


def test_the_columns_that_tell_stay_among_many_that_do_not() -> None:
    """Of 320 columns the two strongest stay, at most 40 in all, and every other one is named with the reason."""
    table, actual = _sparse(320, 1)
    model = Boosting(num_threads=1).fit(table, pa.table({"label": actual}))
    assert {"c0", "c1"} <= set(model.columns)
    assert len(model.columns) <= 40
    assert len(model.columns) + len(model.left_out) == 320
    assert {x["why"] for x in model.left_out} == {selection.WHY}


def test_selection_is_off_unless_there_are_more_columns_than_rows() -> None:
    """Without a word only tables with more columns than rows lose columns; "none" and "auto" say it outright."""
    table, actual = _sparse(60, 2)
    label = pa.table({"label": actual})
    plain = Boosting(num_threads=1).fit(table, label)
    assert plain.files == Boosting(num_threads=1, select="none").fit(table, label).files
    assert len(plain.columns) == 60
    assert len(Boosting(num_threads=1, select="auto").fit(table, label).columns) < 60
    with pytest.raises(UsageError, match="select is 'auto'"):
        Boosting(num_threads=1, select="all").fit(table, label)


@pytest.mark.slow
def test_selection_is_judged_by_rows_that_did_not_select() -> None:
    """Where nothing tells anything, 350 columns on 300 rows rank held-out rows by chance, not better."""
    draw = np.random.default_rng(3)
    table = pa.table({f"c{i}": draw.normal(size=300) for i in range(350)})
    actual = (draw.random(300) < 0.4).astype(float)
    low, high = judged.learn(table, actual, Boosting(num_threads=1)).judged.intervals()["auc"]
    assert low < 0.5
    assert high < 0.62


@pytest.mark.slow
def test_much_told_by_many_columns_together_is_not_thrown_away() -> None:
    """Where every column tells a little, selection does not cost more than 0.02 of AUC on new rows."""
    draw = np.random.default_rng(4)
    values = draw.normal(size=(3300, 120))
    actual = (draw.random(3300) < 1 / (1 + np.exp(-(values @ (0.2 * draw.normal(size=120)))))).astype(float)
    table = pa.table({f"c{i}": values[:, i] for i in range(120)})
    found = []
    for select in ("none", "auto"):
        model = Boosting(num_threads=1, select=select).fit(table.slice(0, 300), pa.table({"label": actual[:300]}))
        found.append(evaluate.auc(actual[300:], model.predict(table.slice(300))["prediction"].to_numpy()))
    assert found[1] > found[0] - 0.02


def test_what_only_works_together_stays_where_there_are_rows_to_see_it() -> None:
    """Two columns whose product alone tells stay, beside a category, a gap and a date, which tell by themselves."""
    draw = np.random.default_rng(5)
    rows = 4000
    first, second, noise = draw.normal(size=(3, rows))
    kind, asked = draw.choice(list("abcdef"), rows), draw.random(rows) < 0.3
    days = draw.integers(19_000, 20_000, rows)
    score = 1.5 * first * second + (kind == "c") - (kind == "d") + 0.6 * asked + 0.002 * (days - 19_500)
    table = pa.table({
        "first": first, "second": second, "noise": noise, "kind": kind,
        "asked": pa.array(draw.normal(size=rows), mask=~asked), "since": days.astype("datetime64[D]"),
    })  # fmt: skip
    label = pa.table({"label": (draw.random(rows) < 1 / (1 + np.exp(-score))).astype(float)})
    model = Boosting(num_threads=1, select="auto").fit(table, label)
    assert {"first", "second", "kind", "asked", "since"} <= set(model.columns)


def test_a_number_for_levels_is_pearsons_chi_squared() -> None:
    """For a yes/no label the distance between levels is Pearson's chi-squared of the table of counts."""
    draw = np.random.default_rng(6)
    codes, actual = draw.integers(0, 4, 200), (draw.random(200) < 0.3).astype(float)
    standard = ((actual - actual.mean()) / actual.std())[:, None]
    found, levels = selection._between(codes, standard)
    counts = np.array([[((codes == c) & (actual == y)).sum() for y in (0, 1)] for c in range(4)], float)
    expected = counts.sum(1, keepdims=True) * counts.sum(0, keepdims=True) / counts.sum()
    assert levels == 4
    assert found[0] == pytest.approx(((counts - expected) ** 2 / expected).sum())


def test_what_stands_out_by_hand() -> None:
    """Of five columns with one shadow copy each, the three above all shadows stay: (0 + 1) / 1 / 3 is below a half."""
    own, shadows = np.array([9.0, 1.0, 8.0, 0.5, 7.0]), np.array([[2.0], [1.5], [1.2], [3.0], [0.1]])
    assert selection._stand_out(own, shadows).tolist() == [True, False, True, False, True]
