"""A scorecard can be added up by hand, and says what the sum means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from nextbest.errors import DataError, ModelError
from nextbest.models import binning, evaluate
from nextbest.models.scorecard import Scorecard, read
from nextbest.models.scorecard_table import points_table
from nextbest.recipes import flat_table

if TYPE_CHECKING:
    from pathlib import Path


def _customers(rows: int = 1_500, seed: int = 0) -> tuple[pa.Table, pa.Table]:
    draw = np.random.default_rng(seed)
    months = draw.integers(1, 60, rows).astype(float)
    plan = draw.choice(["monthly", "yearly", "trial"], rows, p=[0.6, 0.3, 0.1])
    noise = draw.normal(size=rows)
    score = -0.05 * months + np.select([plan == "yearly", plan == "trial"], [-1.0, 0.8], 0.0)
    left = (draw.random(rows) < 1 / (1 + np.exp(-score))).astype(float)
    months[draw.random(rows) < 0.05] = np.nan
    table = pa.table({"months": pa.array(months, from_pandas=True), "plan": plan, "noise": noise})
    return table, pa.table({"label": left})


def test_the_points_of_the_card_add_up() -> None:
    """Adding up by hand, row by row from the printed card, gives the points of the model."""
    features, label = _customers()
    model = Scorecard().fit(features, label)
    card = points_table(model, features, label["label"].to_numpy())
    points = {(row["characteristic"], row["bin"]): row["points"] for row in card}

    def months_bin(months: float | None) -> str:
        for name, text in points:
            if name == "months" and _inside(text, months):
                return text
        raise AssertionError(months)

    said = model.predict(features)["points"].to_pylist()
    for i in range(0, 1_500, 83):
        row = features.slice(i, 1).to_pylist()[0]
        by_plan = next(p for (name, text), p in points.items() if name == "plan" and row["plan"] in text.split(", "))
        assert said[i] == points["months", months_bin(row["months"])] + by_plan


def _inside(text: str, months: float | None) -> bool:
    if months is None or text == "missing":
        return (months is None) == (text == "missing")
    if text.startswith("below"):
        return months < float(text.removeprefix("below "))
    if text.endswith("and more"):
        return months >= float(text.removesuffix(" and more"))
    low, _, high = text.partition(" to below ")
    return float(low) <= months < float(high)


def test_contributions_sum_to_the_log_odds() -> None:
    """What the characteristics add, and the average, give the log-odds of the prediction."""
    features, label = _customers()
    model = Scorecard().fit(features, label)
    _, shares = model.contributions(features)
    said = model.predict(features)["prediction"].to_numpy()
    assert shares.sum(axis=1) == pytest.approx(np.log(said / (1 - said)), abs=1e-9)


def test_double_the_odds() -> None:
    """Before calibration `double` points more are twice the odds; calibrated on such data nearly so."""
    features, label = _customers(6_000)
    card = read(Scorecard(double=40).fit(features, label))
    assert card.double == 40
    assert card.calibration["slope"] == pytest.approx(1.0, abs=0.15)


def test_whole_points_cost_next_to_nothing() -> None:
    """Rounding to whole points changes the AUC by less than 0.002."""
    features, label = _customers(4_000)
    actual = label["label"].to_numpy()
    coarse, fine = (
        Scorecard(double=d).fit(features, label).predict(features)["points"].to_numpy() for d in (20, 4_000)
    )
    assert abs(evaluate.auc(actual, coarse) - evaluate.auc(actual, fine)) < 0.002


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_not_on_the_card(seed: int) -> None:
    """A column that tells nothing gets no points, and the reason is named."""
    features, label = _customers(seed=seed)
    model = Scorecard().fit(features, label)
    assert {c.name for c in read(model).characteristics} == {"months", "plan"}
    assert any(x["column"] == "noise" and "adds nothing" in x["why"] for x in model.left_out)


def test_no_level_stands_in_the_files() -> None:
    """The levels of a category stand in the printed card only when they are frequent, and never in the model."""
    features, label = _customers()
    model = Scorecard().fit(features, label)
    assert b"yearly" not in b"".join(model.files.values())
    card = points_table(model, features, label["label"].to_numpy())
    assert any("yearly" in row["bin"] for row in card)
    few = pa.array(["zebra" if i < 20 else p for i, p in enumerate(features["plan"].to_pylist())])
    rare = features.set_column(1, "plan", few)
    again = points_table(Scorecard().fit(rare, label), rare, label["label"].to_numpy())
    assert not any("zebra" in row["bin"] for row in again)


def test_what_cannot_be_learnt_is_told() -> None:
    """Pure noise makes no card, and an unfitted one says so."""
    draw = np.random.default_rng(3)
    with pytest.raises(DataError, match="No column tells enough"):
        Scorecard().fit(pa.table({"a": draw.normal(size=400)}), pa.table({"label": np.arange(400) % 2 * 1.0}))
    with pytest.raises(ModelError, match="has not learnt yet"):
        Scorecard().predict(pa.table({"a": [1.0]}))


# --- bins -------------------------------------------------------------------------------------------------------------


def test_evidence_is_the_logarithm_of_odds() -> None:
    """The evidence of a bin is the log of its share of positives over its share of negatives, half a row added."""
    column = np.array([0.0] * 100 + [1.0] * 100)
    actual = np.array([1.0] * 20 + [0.0] * 80 + [1.0] * 60 + [0.0] * 40)
    found = binning.learn(column, actual, coded=False)
    by_hand = [np.log(((y + 0.5) / 80.5) / ((100 - y + 0.5) / 120.5)) for y in (20, 60)]
    assert found.edges == (1.0,)
    assert found.evidence[1:] == pytest.approx(by_hand)


def test_every_bin_has_enough_of_either_class() -> None:
    """No bin holds fewer than 20 rows or 5 of a class, and there are at most six."""
    draw = np.random.default_rng(4)
    column = draw.exponential(10.0, 800)
    actual = (draw.random(800) < 1 / (1 + np.exp(0.2 * column - 1))).astype(float)
    found = binning.learn(column, actual, coded=False)
    place = found.place(column)
    assert 2 <= len(found.edges) + 1 <= binning.MOST_BINS
    for number in np.unique(place):
        yes = actual[place == number].sum()
        assert min(yes, (place == number).sum() - yes) >= 5
    rates = [actual[place == n].mean() for n in np.unique(place)]
    assert rates == sorted(rates, reverse=True)


def test_a_few_missing_values_say_nothing() -> None:
    """A bin of eleven rows, none of them positive, counts as the average; one of 200 rows counts as what it is."""
    draw = np.random.default_rng(6)
    column = draw.normal(size=1_000)
    actual = (draw.random(1_000) < 0.4).astype(float)
    for missing, says in ((11, False), (200, True)):
        gaps, label = column.copy(), actual.copy()
        gaps[:missing], label[:missing] = np.nan, 0.0
        assert (binning.learn(gaps, label, coded=False).evidence[0] != 0) == says


def test_a_valley_is_kept_when_it_tells() -> None:
    """A column that is high at both ends keeps its shape: a direction is not forced when it costs much."""
    draw = np.random.default_rng(5)
    column = draw.uniform(-1, 1, 2_000)
    actual = (draw.random(2_000) < 0.1 + 0.7 * np.abs(column)).astype(float)
    place = binning.learn(column, actual, coded=False).place(column)
    rates = [actual[place == n].mean() for n in np.unique(place)]
    assert min(rates) not in (rates[0], rates[-1])


@pytest.mark.slow
def test_a_card_on_real_customers(shared_data: Path) -> None:
    """On churn-telco a card of at most twelve characteristics ranks within 0.02 AUC of the house model's 0.85."""
    table = flat_table.read(shared_data / "churn-telco" / "Telco-Customer-Churn.csv")
    rows = flat_table.labelled(table, label="Churn", positive="Yes", id_column="customerID")
    half = np.arange(len(rows.actual)) % 2 == 0
    learning, judging = np.flatnonzero(half), np.flatnonzero(~half)
    model = Scorecard().fit(rows.features.take(learning), pa.table({"label": rows.actual[learning]}))
    said = model.predict(rows.features.take(judging))["prediction"].to_numpy()
    assert evaluate.auc(rows.actual[judging], said) > 0.83
    assert len(read(model).characteristics) <= 12


def test_the_mean_probability_is_the_rate_that_was_learnt_from() -> None:
    """Cards of parts of the rows begin elsewhere, yet the whole card says on average what was seen, to a hundredth."""
    for seed in range(6):
        draw = np.random.default_rng([seed, 5])
        x = draw.normal(size=(3_000, 8))
        chance = 1 / (1 + np.exp(-(-1.2 + x @ np.repeat([0.35, 0.15], 4))))
        actual = (draw.random(3_000) < chance).astype(np.float64)
        features = pa.table({f"c{i}": x[:, i] for i in range(8)})
        said = Scorecard().fit(features, pa.table({"label": actual})).predict(features)["prediction"].to_numpy()
        assert said.mean() == pytest.approx(actual.mean(), abs=0.01)
