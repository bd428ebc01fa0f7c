"""The linear half against scikit-learn and slow versions, and the calibration that follows it."""

from __future__ import annotations

import numpy as np
import pytest

from nextbest.models import calibrate, intervals, logistic


def _data(rows: int = 500, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    matrix = np.column_stack([draw.normal(size=rows), draw.integers(0, 2, rows).astype(float)])
    score = 0.8 * matrix[:, 0] - matrix[:, 1] + 0.3
    return matrix, (draw.random(rows) < 1 / (1 + np.exp(-score))).astype(float)


def test_coefficients_agree_with_scikit_learn() -> None:
    """With the same design and shrinkage, intercept and coefficients equal scikit-learn's."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    matrix, actual = _data()
    ours = logistic.fit(matrix, actual, task="classification", levels={})
    design = logistic._design(matrix, ours.terms)
    theirs = linear_model.LogisticRegression(C=1 / 3.0, tol=1e-10, max_iter=1000).fit(design, actual)
    assert ours.intercept == pytest.approx(float(theirs.intercept_[0]), abs=1e-4)
    np.testing.assert_allclose([t.weight for t in ours.terms], theirs.coef_[0], atol=1e-4)


def test_separable_labels_stay_finite() -> None:
    """A column that separates the label gives large but finite scores."""
    x = np.linspace(-1, 1, 100)
    found = logistic.fit(x[:, None], (x > 0).astype(float), task="classification", levels={})
    assert np.isfinite(logistic.scores(found, x[:, None])).all()


def test_a_tweedie_line_finds_the_rate_of_growth() -> None:
    """Amounts that grow by e^0.5 per unit are found to do so, within 0.1."""
    draw = np.random.default_rng(1)
    x = draw.uniform(-1, 1, 4000)
    amount = np.where(draw.random(4000) < 0.5, draw.gamma(2.0, np.exp(0.5 * x) * 10), 0.0)
    found = logistic.fit(x[:, None], amount, task="tweedie", levels={})
    low, high = logistic.scores(found, np.array([[-0.5], [0.5]]))
    assert high - low == pytest.approx(0.5, abs=0.1)


def test_contributions_sum_to_the_score() -> None:
    """What the columns add, and the base, sum to the score of every row."""
    matrix, actual = _data()
    found = logistic.fit(matrix, actual, task="classification", levels={1: 2})
    np.testing.assert_allclose(
        logistic.contributions(found, matrix).sum(axis=1), logistic.scores(found, matrix), atol=1e-12
    )


def test_a_missing_value_is_information() -> None:
    """Where being missing goes with the label, a missing row scores higher than any filled one on average."""
    draw = np.random.default_rng(2)
    missing = draw.random(1000) < 0.3
    column = np.where(missing, np.nan, draw.normal(size=1000))
    actual = (draw.random(1000) < np.where(missing, 0.8, 0.2)).astype(float)
    found = logistic.fit(column[:, None], actual, task="classification", levels={})
    scores = logistic.scores(found, column[:, None])
    assert scores[missing].mean() > scores[~missing].max() - 1.0
    assert scores[missing].mean() > scores[~missing].mean() + 1.5


def test_far_values_do_not_run_away() -> None:
    """A value a thousand deviations out scores as one eight deviations out."""
    matrix, actual = _data()
    found = logistic.fit(matrix, actual, task="classification", levels={})
    far = logistic.scores(found, np.array([[1e3, 0.0], [1e9, 0.0]]))
    assert np.ptp(far) < 3.0
    assert np.isfinite(far).all()


def test_platt_undoes_a_known_distortion() -> None:
    """Scores that are the true log-odds times 2 plus 1 are mapped back: slope 0.5, shift -0.5."""
    draw = np.random.default_rng(3)
    truth = draw.normal(size=20_000)
    actual = (draw.random(20_000) < 1 / (1 + np.exp(-truth))).astype(float)
    found = calibrate.sigmoid(2 * truth + 1, actual)
    assert found["slope"] == pytest.approx(0.5, abs=0.03)
    assert found["shift"] == pytest.approx(-0.5, abs=0.05)


def test_many_rows_get_a_free_rising_curve() -> None:
    """With thousands of either class the map is isotonic, rising, and repairs what no sigmoid can."""
    draw = np.random.default_rng(4)
    score = draw.uniform(-3, 3, 20_000)
    truth = np.where(score > 0, 0.6, 0.2)
    actual = (draw.random(20_000) < truth).astype(float)
    found = calibrate.fit(score, actual)
    said = calibrate.apply(found, np.array([-2.0, -0.5, 0.5, 2.0]))
    assert found["kind"] == "isotonic"
    np.testing.assert_allclose(said, [0.2, 0.2, 0.6, 0.6], atol=0.05)
    assert (np.diff(calibrate.apply(found, np.sort(score))) >= 0).all()


def test_scores_that_point_the_wrong_way_are_not_turned_round() -> None:
    """A falling relation gives everybody the base rate."""
    score = np.linspace(-2, 2, 400)
    found = calibrate.fit(score, (score < 0).astype(float))
    np.testing.assert_allclose(calibrate.apply(found, score), 0.5, atol=0.01)


def test_a_prediction_lies_within_its_interval() -> None:
    """Low and high enclose every prediction, also outside the range that was learnt."""
    draw = np.random.default_rng(5)
    p = draw.beta(1, 4, 2000)
    learnt = intervals.fit(p, (draw.random(2000) < p).astype(float), task="classification", level=0.9)
    asked = np.linspace(0, 1, 101)
    low, high = intervals.apply(learnt, asked)
    assert ((low <= asked) & (asked <= high) & (low >= 0) & (high <= 1)).all()


def test_more_columns_than_rows_give_what_the_long_way_gives() -> None:
    """With more columns than rows the short way has the coefficients of Newton's steps over all columns."""
    draw = np.random.default_rng(5)
    design = draw.normal(size=(40, 90))
    actual = (draw.random(40) < 0.4).astype(float)
    for task in ("classification", "regression"):
        short, long = logistic._solved(design, actual, task), logistic._solve(design, actual, task)
        np.testing.assert_allclose(short, long, atol=1e-5)
