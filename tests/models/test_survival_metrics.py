"""Metrics of *when*: against slow obvious versions, lifelines and a figure worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nextbest.models import survival_metrics as metric


def _drawn(seed: int, rows: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    time = draw.integers(0, 9, rows).astype(float)
    return time, (draw.random(rows) < 0.5).astype(float), draw.integers(0, 7, rows).astype(float)


def _slow_concordance(time: np.ndarray, observed: np.ndarray, risk: np.ndarray) -> float:
    """Compare every two subjects."""
    right = pairs = 0.0
    for i in range(len(time)):
        for j in range(len(time)):
            first = time[i] < time[j] or (time[i] == time[j] and not observed[j])
            if observed[i] and first and i != j:
                pairs += 1
                right += 1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0
    return right / pairs


@pytest.mark.parametrize("seed", range(12))
def test_concordance_is_that_of_comparing_every_pair(seed: int) -> None:
    """Harrell's C in n log n steps is exactly the share of rightly ordered pairs, with ties in time and in risk."""
    time, observed, risk = _drawn(seed)
    assert metric.concordance(time, observed, risk) == pytest.approx(_slow_concordance(time, observed, risk), abs=1e-12)


def test_concordance_is_that_of_lifelines() -> None:
    """C is what `concordance_index` of lifelines 0.30.3 gives for 3,000 subjects with tied times."""
    assert metric.concordance(*_drawn(3, 3_000)) == pytest.approx(0.505551988326396, abs=1e-12)


@pytest.mark.parametrize(("time", "observed"), [([1.0, 2.0], [0.0, 0.0]), ([3.0], [1.0]), ([2.0, 2.0], [1.0, 1.0])])
def test_concordance_without_a_pair_is_unknown(time: list[float], observed: list[float]) -> None:
    """Where no two subjects can be compared, C is NaN and not a number made up."""
    assert np.isnan(metric.concordance(np.array(time), np.array(observed), np.zeros(len(time))))


def test_the_interval_of_concordance_is_that_of_drawing_subjects_again() -> None:
    """The interval by influence agrees with a bootstrap within a fifth, and so does that of a difference."""
    draw = np.random.default_rng(5)
    strength = draw.normal(size=1_000)
    time, observed = np.ceil(draw.exponential(np.exp(-strength) * 5)), (draw.random(1_000) < 0.6).astype(float)
    ours, theirs = strength + draw.normal(size=1_000), strength + 2 * draw.normal(size=1_000)
    low, high = metric.concordance_interval(time, observed, ours)
    _, least, most = metric.concordance_difference(time, observed, ours, theirs)
    ones, differences = [], []
    for _ in range(300):
        rows = draw.integers(0, 1_000, 1_000)
        ones.append(metric.concordance(time[rows], observed[rows], ours[rows]))
        differences.append(ones[-1] - metric.concordance(time[rows], observed[rows], theirs[rows]))
    assert (high - low) / 3.92 == pytest.approx(np.std(ones), rel=0.2)
    assert (most - least) / 3.92 == pytest.approx(np.std(differences), rel=0.2)


def test_kaplan_meier_by_hand() -> None:
    """Of five, one leaves at 1, one is lost at 2, one leaves at 3: 4/5, then 4/5 x 2/3 (Kaplan and Meier 1958)."""
    time, observed = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([1.0, 0.0, 1.0, 0.0, 0.0])
    kept = metric.kaplan_meier(time, observed, np.array([0.5, 1.0, 2.9, 3.0, 9.0]))
    assert kept == pytest.approx([1, 4 / 5, 4 / 5, 8 / 15, 8 / 15])
    variance = metric.kaplan_meier_variance(time, observed, np.array([3.0]))[0]
    assert variance == pytest.approx((8 / 15) ** 2 * (1 / (5 * 4) + 1 / (3 * 2)))


def test_brier_without_anybody_lost_is_the_squared_error() -> None:
    """When everybody is seen to leave, the weights are one and the integrated error is the plain mean over time."""
    draw = np.random.default_rng(0)
    time, moments = draw.exponential(1.0, 200), np.linspace(0.1, 2.0, 20)
    kept = draw.random((200, 20))
    plain = np.mean(((time[:, None] > moments) - kept) ** 2, axis=0)
    assert metric.integrated_brier(time, np.ones(200), kept, moments) == pytest.approx(
        np.trapezoid(plain, moments) / 1.9
    )


def test_the_true_curve_has_the_lowest_brier_though_some_are_lost() -> None:
    """With 40% lost at random, the truth beats curves that are too high or too low."""
    draw = np.random.default_rng(1)
    rate = draw.gamma(2.0, 0.5, 4_000)
    leave, lost = draw.exponential(1 / rate), draw.exponential(1.5, 4_000)
    time, observed = np.minimum(leave, lost), (leave <= lost).astype(float)
    moments = np.linspace(0.1, 1.5, 15)
    truth = np.exp(-rate[:, None] * moments)
    scores = [metric.integrated_brier(time, observed, truth**power, moments) for power in (0.6, 1.0, 1.6)]
    assert scores[1] == min(scores)


def test_the_truth_is_calibrated() -> None:
    """Tenths by the true curve have Kaplan-Meier's interval about it nearly always."""
    draw = np.random.default_rng(2)
    rate = draw.gamma(2.0, 0.5, 5_000)
    leave, lost = draw.exponential(1 / rate), draw.exponential(2.0, 5_000)
    points = metric.calibration(np.minimum(leave, lost), (leave <= lost).astype(float), np.exp(-rate), 1.0)
    assert sum(p["low"] <= p["predicted"] <= p["high"] for p in points) >= 8
    assert max(abs(p["predicted"] - p["observed"]) for p in points) < 0.08


def test_several_moments_of_one_subject_are_no_independent_witnesses() -> None:
    """Four rows of every subject leave the interval of C, and of a difference, as wide as one row does."""
    draw = np.random.default_rng(85)
    time, risk, other = draw.exponential(1, 300), draw.normal(size=300), draw.normal(size=300)
    observed = (draw.random(300) < 0.7).astype(float)
    one = metric.concordance_interval(time, observed, risk)
    four = [np.repeat(v, 4) for v in (time, observed, risk, other)]
    who = np.repeat(np.arange(300), 4)
    many = metric.concordance_interval(*four[:3], who=who)
    assert many[1] - many[0] == pytest.approx(one[1] - one[0], rel=0.02)
    _, low, high = metric.concordance_difference(time, observed, risk, other)
    _, many_low, many_high = metric.concordance_difference(*four, who=who)
    assert many_high - many_low == pytest.approx(high - low, rel=0.02)
