"""A yes/no label from any flat table: learnt, judged on other rows, and never a crash for what a table may hold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nextbest.errors import UsageError
from nextbest.models import evaluate
from nextbest.models.boosting import Boosting
from nextbest.recipes import judged
from nextbest.recipes.table import Asked, fit, predict

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 300


def _asked(table: pa.Table, **given: Any) -> Asked:
    return Asked(recipe="churn", prediction="chance", table=table, label="bought", **given)


def _world(rows: int = ROWS, positives: int | None = None, seed: int = 0) -> tuple[pa.Table, np.ndarray]:
    """Give a table with one telling number, one that says nothing and a kind, and the true chance of every row."""
    draw = np.random.default_rng(seed)
    signal, noise, kind = draw.normal(size=rows), draw.normal(size=rows), draw.choice(["a", "b", "c"], rows)
    score = 1.0 * signal + 0.5 * (kind == "b")
    if positives is not None:
        score += np.log(positives / (rows - positives)) - 0.4
    truth = 1 / (1 + np.exp(-score))
    bought = np.where(draw.random(rows) < truth, "yes", "no")
    return pa.table({"signal": signal, "noise": noise, "kind": kind, "bought": bought}), truth


def _odd(name: str) -> pa.Table:
    """Give a table that holds something odd."""
    table, _ = _world()
    bought = table["bought"]
    signal = table["signal"].to_numpy().copy()
    signal[::7], signal[1::11] = np.inf, -np.inf
    odd = {
        "one class": pa.table({"signal": signal, "bought": ["no"] * ROWS}),
        "one row": table.slice(0, 1),
        "no rows": table.slice(0, 0),
        "no label": table.set_column(3, "bought", pa.nulls(ROWS, pa.string())),
        "nothing known": pa.table({"a": pa.nulls(ROWS), "b": pa.nulls(ROWS, pa.float64()), "bought": bought}),
        "infinite": pa.table({"signal": signal, "bought": bought}),
        "huge": pa.table({"big": signal * 1e300, "small": table["noise"].to_numpy() * 1e-300, "bought": bought}),
        "same names": pa.Table.from_arrays([table["signal"], table["noise"], bought], names=["x", "x", "bought"]),
        "lists": pa.table({"signal": table["signal"], "tags": [[1, 2]] * ROWS, "bought": bought}),
        "gaps": table.append_column("gaps", pa.array([1.0] * 3 + [None] * (ROWS - 3))),
    }
    return odd[name]


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("one class", "not_enough_data"),
        ("one row", "not_enough_data"),
        ("no rows", "not_enough_data"),
        ("no label", "not_enough_data"),
        ("nothing known", "not_enough_data"),
        ("infinite", "ok"),
        ("huge", "ok"),
        ("same names", "ok"),
        ("lists", "ok"),
        ("gaps", "ok"),
    ],
)
def test_no_table_makes_it_crash(name: str, status: str) -> None:
    """Whatever a table holds, there is an answer, and a prediction or a null for every row."""
    asked = _asked(_odd(name))
    fitted = fit(asked, None, as_of=AS_OF)
    assert fitted.report.status == status
    assert bool(fitted.report.why) or status == "ok"
    said = predict(asked, fitted)["chance"]
    assert said.null_count == (0 if status == "ok" else len(said))


def test_three_kinds_of_label_need_to_be_told_which() -> None:
    """With three values and no `positive` the error lists them; with one it is learnt."""
    table, _ = _world()
    kinds = table.set_column(3, "bought", pa.array(np.array(["x", "y", "z"])[np.arange(ROWS) % 3]))
    with pytest.raises(UsageError, match=r"Give positive .*The values are: 'x', 'y', 'z'"):
        fit(_asked(kinds), None, as_of=AS_OF)
    assert fit(_asked(kinds, positive="y"), None, as_of=AS_OF).report.positives == 100


def test_thirty_of_two_hundred_is_a_cautious_answer_and_three_is_none() -> None:
    """30 conversions in 200 rows give a ranking that says it is cautious; 3 say how many are needed."""
    table, _ = _world(200)
    for positives, status in ((30, "ok"), (3, "not_enough_data")):
        order = np.argsort(-table["signal"].to_numpy() + np.random.default_rng(1).normal(size=200))
        bought = np.full(200, "no", dtype="<U3")
        bought[order[:positives]] = "yes"
        report = fit(_asked(table.set_column(3, "bought", pa.array(bought))), None, as_of=AS_OF).report
        assert report.status == status
        assert f"{positives} of 200 rows" in report.why
    assert "at least 20" in report.why


@pytest.mark.slow
def test_the_interval_of_few_rows_holds_the_stated_share() -> None:
    """Learnt from 200 rows with about 30 positives, 90% intervals hold the true rate of alike rows in 85% or more."""
    held, asked = 0, 0
    new, truth = _world(4000, positives=600, seed=99)
    for seed in range(12):
        table, _ = _world(200, positives=30, seed=seed)
        label = pa.table({"label": np.array(table["bought"].to_pylist()) == "yes"})
        model = Boosting(num_threads=1).fit(table.drop_columns(["bought"]), label)
        said = model.predict(new.drop_columns(["bought"]))
        order = np.argsort(said["prediction"].to_numpy(), kind="stable")
        for part in np.array_split(order, 10):
            low, high = (said[c].to_numpy()[part].mean() for c in ("low", "high"))
            held += low <= truth[part].mean() <= high
            asked += 1
    assert held / asked >= 0.85


def test_a_row_never_teaches_its_own_probability() -> None:
    """Labels drawn by lot, of categories with hundreds of values, are not told apart on rows that had not taught."""
    draw = np.random.default_rng(5)
    rows = 6_000
    table = pa.table({
        "town": [f"t{i}" for i in draw.integers(0, 400, rows)],
        "size": draw.normal(size=rows),
        "bought": np.where(draw.random(rows) < 0.3, "yes", "no"),
    })  # fmt: skip
    low, high = fit(_asked(table), None, as_of=AS_OF).report.intervals["auc"]
    assert low - 0.02 < 0.5 < high + 0.02


def test_a_long_list_of_towns_is_learnt_by_their_rates() -> None:
    """With 400 towns of very different rates the ranking of new rows comes close to that by the true rates."""
    draw = np.random.default_rng(6)
    rates, rows = draw.beta(1, 3, 400), 12_000
    town = draw.integers(0, 400, rows)
    label = (draw.random(rows) < rates[town]).astype(float)
    features = pa.table({"town": [f"t{i}" for i in town], "size": draw.normal(size=rows)})
    teach, ask = np.arange(8_000), np.arange(8_000, rows)
    model = Boosting(num_threads=1).fit(features.take(teach), pa.table({"label": label[teach]}))
    said = model.predict(features.take(ask))["prediction"].to_numpy()
    assert evaluate.auc(label[ask], said) > evaluate.auc(label[ask], rates[town[ask]]) - 0.04
    assert b"t399" not in b"".join(model.files.values())


def test_the_report_says_what_was_done_to_the_columns() -> None:
    """Text numbers, gaps, dates and rare values are named with their step; thin groups by number, not by value."""
    table, _ = _world()
    table = table.append_column("seen", pa.array([f"2025-{1 + i % 12:02d}-03" for i in range(ROWS)]))
    table = table.append_column("spent", pa.array([None if i % 3 == 0 else f"{i % 50}.5" for i in range(ROWS)]))
    table = table.append_column("shop", pa.array(["north"] * 280 + ["secret town"] * 20))
    details = fit(_asked(table), None, as_of=AS_OF).report.details
    steps = {(s["column"], s["step"].split(",")[0]) for s in details["preparation"]}
    assert {("seen", "dates written as text"), ("spent", "numbers written as text")} <= steps
    assert any(c == "spent" and step.startswith("missing in 33.3%") for c, step in steps)
    assert {"column": "shop", "groups": 1, "rows": 20} in details["groups"]
    assert "secret town" not in str(details)
    assert [len(details[name]) for name in ("calibration", "capture")] >= [5, 20]


def test_numbers_that_name_somebody_are_left_out() -> None:
    """A sparse id is told by its name, or by saying nothing; a shop's number that many rows share stays."""
    table, _ = _world(600)
    draw = np.random.default_rng(2)
    numbers = draw.choice(np.arange(100_000, 1_000_000), 600, replace=False)
    table = table.append_column("customerID", pa.array(numbers)).append_column("batch", pa.array(numbers[::-1]))
    table = table.append_column("shop_id", pa.array(draw.integers(1, 9, 600)))
    left = {x["column"]: x["why"] for x in fit(_asked(table), None, as_of=AS_OF).report.left_out}
    assert set(left) == {"customerID", "batch"}
    assert all("an id" in why for why in left.values())


def test_one_cross_fit_judges_as_an_outer_one_would() -> None:
    """The judgement by the fits that calibrate agrees with a full fit per fold, scored on what it never saw."""
    table, _ = _world(1_500, seed=3)
    features, actual = (
        table.drop_columns(["bought"]),
        np.array([b == "yes" for b in table["bought"].to_pylist()], float),
    )
    model = Boosting(num_threads=1)
    ours = judged.learn(features, actual, model).judged.metrics()
    chance = np.zeros(len(actual))
    for learning, judging in judged.cross_fit.splits(actual, 5, seed=0):
        fitted = model.fit(features.take(learning), pa.table({"label": actual[learning]}))
        chance[judging] = fitted.predict(features.take(judging))["prediction"].to_numpy()
    nested = evaluate.probability_metrics(actual, chance)
    assert ours["auc"] == pytest.approx(nested["auc"], abs=0.01)
    assert ours["log_loss"] == pytest.approx(nested["log_loss"], abs=0.01)


@pytest.mark.nightly
def test_five_thousand_columns_of_three_hundred_rows_are_learnt() -> None:
    """Among 4,999 columns of noise the one that tells is the first driver."""
    draw = np.random.default_rng(0)
    actual = draw.random(ROWS) < 0.4
    columns = {f"c{i}": draw.normal(size=ROWS) for i in range(4_999)}
    table = pa.table(
        {**columns, "tells": draw.normal(size=ROWS) + 2.0 * actual, "bought": np.where(actual, "yes", "no")}
    )
    report = fit(_asked(table), None, as_of=AS_OF).report
    assert report.status == "ok"
    assert report.top_features[0]["feature"] == "tells"
