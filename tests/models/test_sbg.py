"""Shifted-beta-geometric: the published parameters, the closed forms, and lives counted in renewals."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from nextbest.errors import DataError
from nextbest.models.sbg import ShiftedBetaGeometric, fit_lifetimes, left_at, log_likelihood, renewals, stays

# Survivors of 1,000 by year in Fader & Hardie (2007), table 1, as used for calibration (years 0 to 7).
REGULAR = (1000, 631, 468, 382, 326, 289, 262, 241)
HIGH_END = (1000, 869, 743, 653, 593, 551, 517, 491)


def lives(survivors: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Give renewals and who left, one row per subscriber of a cohort."""
    lost = -np.diff(survivors)
    periods = np.append(np.repeat(np.arange(1, len(survivors)), lost), np.full(survivors[-1], len(survivors) - 1))
    left = np.append(np.ones(lost.sum()), np.zeros(survivors[-1]))
    return periods.astype(np.float64), left


@pytest.mark.parametrize(
    ("survivors", "alpha", "beta", "likelihood"), [(REGULAR, 0.704, 1.182, -1680.3), (HIGH_END, 0.668, 3.806, -1611.2)]
)
def test_the_published_parameters_come_out(
    survivors: tuple[int, ...], alpha: float, beta: float, likelihood: float
) -> None:
    """Both cohorts of Fader & Hardie (2007) give the parameters and likelihoods that are printed for them."""
    found = fit_lifetimes(*lives(survivors))
    assert found.parameters["alpha"] == pytest.approx(alpha, abs=5e-4)
    assert found.parameters["beta"] == pytest.approx(beta, abs=5e-4)
    assert found.log_likelihood == pytest.approx(likelihood, abs=0.05)
    assert found.converged


def test_survival_is_the_product_of_its_renewals() -> None:
    """The chance to stay equals the product of one-step rates (b + t - 1) / (a + b + t - 1), from any age on."""
    parameters = {"alpha": 0.7, "beta": 2.5}
    rates = [(2.5 + t - 1) / (3.2 + t - 1) for t in range(1, 12)]
    for age in (0, 3, 6):
        assert stays(parameters, np.array([float(age)]), 4.0)[0] == pytest.approx(np.prod(rates[age : age + 4]))


def test_the_gradient_is_that_of_the_likelihood() -> None:
    """The analytic gradient equals central differences."""
    theta, rows = np.log([0.8, 2.0]), (np.array([1.0, 4.0, 6.0]), np.array([1.0, 1.0, 0.0]), np.array([5.0, 2.0, 9.0]))
    for i in range(2):
        step = np.zeros(2)
        step[i] = 1e-5
        slope = (log_likelihood(theta + step, *rows)[0] - log_likelihood(theta - step, *rows)[0]) / 2e-5
        assert log_likelihood(theta, *rows)[1][i] == pytest.approx(slope, rel=1e-6)


def test_months_of_28_to_31_days_are_months() -> None:
    """An end after a short month is at the first renewal, a day into the next period it is at the second."""
    assert left_at(np.array([5.0, 28.0, 31.0, 40.0]), 30.4375).tolist() == [1, 1, 1, 2]
    assert renewals(np.array([5.0, 28.0, 31.0, 40.0, 59.0]), 30.4375).tolist() == [0, 1, 1, 1, 2]


def test_what_cannot_be_learnt_is_refused() -> None:
    """A cohort nobody left, a missing column and a negative age are refused in words."""
    model = ShiftedBetaGeometric()
    with pytest.raises(DataError, match="Nobody has left"):
        model.fit(pa.table({"T": [10.0, 50.0]}), pa.table({"left": [0.0, 0.0]}))
    with pytest.raises(DataError, match="column T"):
        model.fit(pa.table({"age": [1.0]}), pa.table({"left": [1.0]}))
    with pytest.raises(DataError, match="1 of 2 subscribers"):
        model.fit(pa.table({"T": [-1.0, 50.0]}), pa.table({"left": [1.0, 0.0]}))
