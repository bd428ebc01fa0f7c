"""Each stretch of time is calibrated on its own."""

from __future__ import annotations

import numpy as np
import pytest

from nextbest.models import period_calibration


def drawn(slopes: list[float], rows: int, seed: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give what was said, what came, and the period, where the truth is steeper or flatter than said by period."""
    chance = np.random.default_rng(seed)
    period = chance.integers(0, len(slopes), rows)
    scores = chance.normal(-1.5, 1.0, rows)
    truth = 1 / (1 + np.exp(-np.array(slopes)[period] * scores))
    return 1 / (1 + np.exp(-scores)), (chance.random(rows) < truth).astype(float), period


def test_a_stretch_that_is_told_too_mildly_gets_its_slope() -> None:
    """The slope by which the truth is steeper or flatter in a period is found there."""
    said, left, period = drawn([1.5, 1.0, 0.7], 60_000)
    bends = period_calibration.learn(said, left, period, 3)
    assert bends[:, 1] == pytest.approx([1.5, 1.0, 0.7], abs=0.08)
    assert bends[:, 0] == pytest.approx([0.0, 0.0, 0.0], abs=0.1)


def test_bent_probabilities_mean_what_they_say_in_every_period() -> None:
    """In the riskiest tenth of each period as many leave as is said once it is bent, on rows that did not teach."""
    bends = period_calibration.learn(*drawn([1.6, 1.0, 0.8], 240_000), 3)
    said, left, period = drawn([1.6, 1.0, 0.8], 240_000, seed=5)
    odds = period_calibration.apply(said, bends.tolist(), period)
    for number in range(3):
        rows = np.flatnonzero(period == number)
        riskiest = rows[np.argsort(-said[rows])[: len(rows) // 10]]
        gap = abs(float((odds / (1 + odds))[riskiest].mean() - left[riskiest].mean()))
        assert gap < 0.025, f"period {number}"


def test_few_who_leave_leave_everything_as_it_was_said() -> None:
    """Fewer leavers than a stretch needs bend nothing."""
    said, left, period = drawn([1.5, 1.0], 300)
    assert period_calibration.learn(said, left, period, 2).tolist() == [[0.0, 1.0], [0.0, 1.0]]
    odds = period_calibration.apply(said, [(0.0, 1.0), (0.0, 1.0)], period)
    assert odds / (1 + odds) == pytest.approx(said)


def test_every_stretch_holds_enough_who_leave() -> None:
    """Periods are joined in order until enough leave in them; what is left over joins the last."""
    ends = np.array([150.0, 100.0, 190.0, 20.0, 30.0, 40.0])
    assert period_calibration.stretches(ends).tolist() == [0, 0, 1, 1, 1, 1]
