"""Metrics against scikit-learn, slow obvious versions, and known coverage."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from nextbest.models import evaluate


def _case(seed: int, rows: int = 400, *, ties: bool = True) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    truth = draw.beta(1, 3, rows)
    predicted = np.round(truth, 1 if ties else 12)
    return (draw.random(rows) < truth).astype(float), predicted


@pytest.mark.parametrize(("seed", "ties"), list(product(range(5), (True, False))))
def test_probability_metrics_agree_with_scikit_learn(seed: int, *, ties: bool) -> None:
    """AUC, average precision, log loss and Brier score equal scikit-learn's, with and without ties."""
    metrics = pytest.importorskip("sklearn.metrics")
    actual, predicted = _case(seed, ties=ties)
    assert evaluate.auc(actual, predicted) == pytest.approx(metrics.roc_auc_score(actual, predicted), abs=1e-12)
    theirs = metrics.average_precision_score(actual, predicted)
    assert evaluate.average_precision(actual, predicted) == pytest.approx(theirs, abs=1e-12)
    inside = np.clip(predicted, 0.01, 0.99)
    assert evaluate.log_loss(actual, inside) == pytest.approx(metrics.log_loss(actual, inside), abs=1e-12)
    assert evaluate.brier(actual, predicted) == pytest.approx(metrics.brier_score_loss(actual, predicted), abs=1e-12)


def test_auc_is_the_share_of_pairs_in_order() -> None:
    """The AUC counts pairs of a positive and a negative, ties as half, as the slow loop does."""
    actual, predicted = _case(7, 60)
    pairs = [(p > n) + 0.5 * (p == n) for p in predicted[actual == 1] for n in predicted[actual == 0]]
    assert evaluate.auc(actual, predicted) == pytest.approx(np.mean(pairs))


def test_no_metric_depends_on_the_order_of_rows() -> None:
    """Shuffling rows changes no metric, though half of the predictions are tied."""
    actual, predicted = _case(3)
    order = np.random.default_rng(0).permutation(len(actual))
    for metrics in (evaluate.probability_metrics, evaluate.amount_metrics):
        ours, shuffled = metrics(actual, predicted), metrics(actual[order], predicted[order])
        assert ours == pytest.approx(shuffled, abs=1e-12)


def test_delong_variance_agrees_with_the_slow_definition() -> None:
    """DeLong's variance by midranks equals the variance of placements computed pair by pair (DeLong 1988, eq. 5)."""
    actual, predicted = _case(11, 80)
    yes, no = predicted[actual == 1], predicted[actual == 0]
    better = (yes[:, None] > no[None, :]) + 0.5 * (yes[:, None] == no[None, :])
    slow = better.mean(axis=1).var(ddof=1) / len(yes) + better.mean(axis=0).var(ddof=1) / len(no)
    assert evaluate.auc_covariance(actual, predicted, predicted)[0] == pytest.approx(slow, rel=1e-9)


def test_auc_interval_holds_the_truth_as_often_as_it_says() -> None:
    """On 300 samples of two normals a standard deviation apart the 95% interval holds the true AUC in 91 to 99%."""
    truth = 0.7602499389  # Phi(1 / sqrt(2))
    held = 0
    for seed in range(300):
        draw = np.random.default_rng(seed)
        actual = np.repeat([1.0, 0.0], [40, 60])
        low, high = evaluate.auc_interval(actual, draw.normal(actual, 1.0))
        held += low <= truth <= high
    assert 0.91 <= held / 300 <= 0.99


def test_auc_difference_of_equal_scores_is_surely_nothing() -> None:
    """A score compared with itself differs by exactly 0, with an interval of no width."""
    actual, predicted = _case(2)
    assert evaluate.auc_difference(actual, predicted, predicted) == pytest.approx((0.0, 0.0, 0.0), abs=1e-9)


def test_ece_of_a_known_table() -> None:
    """Two bins, 0.1 and 0.2 away from their rates, 3 and 1 rows: (3 * 0.1 + 0.2) / 4."""
    actual = np.array([0.0, 0.0, 1.0, 1.0])
    predicted = np.array([1 / 3 - 0.1, 1 / 3 - 0.1, 1 / 3 - 0.1, 0.8])
    assert evaluate.ece(actual, predicted) == pytest.approx((3 * 0.1 + 0.2) / 4)


def test_perfect_and_useless_rankings() -> None:
    """The best order captures all it can, a constant captures its share, and lift follows from capture."""
    actual = np.repeat([1.0, 0.0], [10, 90])
    assert evaluate.capture_at(actual, actual, 0.2) == 1.0
    assert evaluate.top_decile_lift(actual, actual) == pytest.approx(10.0)
    constant = np.zeros(100)
    assert evaluate.capture_at(actual, constant, 0.2) == pytest.approx(0.2)
    assert evaluate.top_decile_lift(actual, constant) == pytest.approx(1.0)


def test_amount_metrics_of_a_known_table() -> None:
    """Errors, total and Gini of four amounts worked out by hand."""
    actual, predicted = np.array([0.0, 1.0, 2.0, 5.0]), np.array([1.0, 1.0, 2.0, 4.0])
    found = evaluate.amount_metrics(actual, predicted)
    assert found["mae"] == pytest.approx(0.5)
    assert found["rmse"] == pytest.approx(np.sqrt(0.5))
    assert found["total_error"] == pytest.approx(0.0)
    assert found["correlation"] == pytest.approx(np.corrcoef(actual, predicted)[0, 1])
    # Lorenz sums: 5/8, 7/8, 7.5/8 (two tied share 1), 1 against 5/8, 7/8, 1, 1 for the best order; minus 2.5 each.
    assert found["normalised_gini"] == pytest.approx((27.5 / 8 - 2.5) / (28 / 8 - 2.5))


def test_gini_is_one_for_the_best_order_and_negative_for_the_worst() -> None:
    """Predicting the amounts themselves gives 1, their opposite -1."""
    amounts = np.random.default_rng(0).gamma(1.0, 10.0, 200)
    assert evaluate.normalised_gini(amounts, amounts) == pytest.approx(1.0)
    assert evaluate.normalised_gini(amounts, -amounts) == pytest.approx(-1.0)


def test_decile_mape_sees_a_wrong_level() -> None:
    """Amounts predicted 10% too high in every tenth err by 10%."""
    amounts = np.random.default_rng(0).gamma(2.0, 10.0, 1000)
    assert evaluate.decile_mape(amounts, 1.1 * amounts) == pytest.approx(0.1)


def test_bootstrap_interval_is_repeatable_and_covers_the_estimate() -> None:
    """The same seed gives the same interval, and it holds the value on all rows."""
    actual, predicted = _case(5)
    first = evaluate.bootstrap_interval(evaluate.brier, actual, predicted, seed=4)
    assert first == evaluate.bootstrap_interval(evaluate.brier, actual, predicted, seed=4)
    assert first[0] < evaluate.brier(actual, predicted) < first[1]


def test_one_class_only_gives_no_number() -> None:
    """Without positives or without negatives the AUC is not a number, rather than an invention."""
    assert np.isnan(evaluate.auc(np.zeros(5), np.arange(5.0)))
    assert np.isnan(evaluate.auc_interval(np.ones(5), np.arange(5.0))[0])
    assert np.isnan(evaluate.average_precision(np.zeros(5), np.arange(5.0)))
