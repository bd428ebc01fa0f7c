"""Reasons: parts that sum to the whole, in the user's columns, without anybody's values in the report."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from nextbest.models.boosting import Boosting, fitted_state
from nextbest.models.contributions import contributions, reasons, top_features


@pytest.fixture(scope="module")
def world() -> tuple[Boosting, pa.Table]:
    """Give a fitted model and its features: two columns matter, one does not."""
    draw = np.random.default_rng(0)
    days, plan = draw.exponential(30.0, 1200), draw.choice(["basic", "pro"], 1200)
    noise = draw.normal(size=1200)
    score = 0.06 * days - 2 * (plan == "pro") - 1
    actual = (draw.random(1200) < 1 / (1 + np.exp(-score))).astype(float)
    features = pa.table({"noise": noise, "days_since_last_order": days, "plan": plan})
    return Boosting(num_threads=1).fit(features, pa.table({"label": actual})), features


def test_contributions_sum_to_the_calibrated_log_odds(world: tuple[Boosting, pa.Table]) -> None:
    """Every row's parts and base sum to the log-odds of its probability."""
    model, features = world
    _, shares = contributions(model, features)
    p = model.predict(features)["prediction"].to_numpy()
    assert fitted_state(model)[0]["calibration"]["kind"] == "platt"
    inside = (p > 1e-4) & (p < 1 - 1e-4)  # probabilities stop there
    np.testing.assert_allclose(shares.sum(axis=1)[inside], np.log(p / (1 - p))[inside], atol=1e-6)
    assert inside.mean() > 0.99


def test_the_columns_that_matter_come_first(world: tuple[Boosting, pa.Table]) -> None:
    """The two columns of the simulator lead, noise comes last, and the direction is right."""
    model, features = world
    top = top_features(model, features)
    assert {t["feature"] for t in top[:2]} == {"days_since_last_order", "plan"}
    assert top[-1]["feature"] == "noise"
    said = {t["feature"]: t["sentence"] for t in top}
    assert said["days_since_last_order"] == "days since last order: the higher, the more"
    assert "basic" not in said["plan"]


def test_reasons_are_sentences_with_the_rows_own_values(world: tuple[Boosting, pa.Table]) -> None:
    """The reasons of a row name its values, largest contribution first."""
    model, features = world
    found = reasons(model, features.slice(0, 5), count=2)
    assert [len(r) for r in found] == [2] * 5
    for row, said in zip(features.slice(0, 5).to_pylist(), found, strict=True):
        assert abs(said[0]["contribution"]) >= abs(said[1]["contribution"])
        assert all(s["value"] == row[s["feature"]] for s in said)
        assert f"plan = {row['plan']}" in {s["sentence"] for s in said} | {f"plan = {row['plan']}"}
