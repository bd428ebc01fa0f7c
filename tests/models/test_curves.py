"""The points of a card's plots are the plain counts they say they are."""

from __future__ import annotations

import numpy as np
import pytest

from nextbest.models.curves import calibration, capture, wilson


def test_calibration_points_are_rates_of_rows_that_score_alike() -> None:
    """Every point is the mean prediction and the observed rate of a tenth; all rows are in one point."""
    draw = np.random.default_rng(0)
    predicted = draw.random(2_000)
    actual = (draw.random(2_000) < predicted).astype(float)
    points = calibration(actual, predicted)
    assert [p["rows"] for p in points] == [200] * 10
    order = np.argsort(predicted)
    for number, point in enumerate(points):
        rows = order[200 * number : 200 * (number + 1)]
        assert point["predicted"] == pytest.approx(predicted[rows].mean(), abs=1e-4)
        assert point["observed"] == pytest.approx(actual[rows].mean(), abs=1e-4)
        assert point["low"] <= point["observed"] <= point["high"]


def test_equal_predictions_stay_in_one_point() -> None:
    """A constant prediction gives one point, no rows none."""
    points = calibration(np.array([0.0, 1.0, 1.0, 1.0]), np.full(4, 0.7))
    assert [(p["rows"], p["observed"]) for p in points] == [(4, 0.75)]
    assert calibration(np.empty(0), np.empty(0)) == []


def test_capture_is_the_slow_obvious_count() -> None:
    """The share captured is what counting from the best score down gives, for us and for a baseline."""
    draw = np.random.default_rng(1)
    predicted, theirs = draw.random(400), draw.random(400)
    actual = (draw.random(400) < predicted).astype(float)
    points = capture(actual, predicted, {"by lot": theirs})
    assert [p["share"] for p in points] == pytest.approx(np.arange(1, 21) / 20)
    for point in points:
        taken = round(point["share"] * 400)
        for name, scores in (("captured", predicted), ("by lot", theirs)):
            best = np.argsort(-scores)[:taken]
            assert point[name] == pytest.approx(actual[best].sum() / actual.sum(), abs=1e-4)
    assert capture(np.zeros(5), np.arange(5.0)) == []


def test_wilson_matches_the_published_example() -> None:
    """For 81 of 263 the interval is 0.2553 to 0.3662 (Newcombe 1998, table 1)."""
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
