"""Gamma-Gamma against the published fit, integration and simulated customers."""

from __future__ import annotations

import gzip
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from scipy import integrate, stats

from nextbest import testing
from nextbest.errors import DataError
from nextbest.models import gamma_gamma
from nextbest.models.gamma_gamma import GammaGamma

if TYPE_CHECKING:
    from pathlib import Path

PARAMETERS = {"p": 6.0, "q": 4.0, "gamma": 16.0}


def simulate(seed: int, customers: int) -> tuple[np.ndarray, ...]:
    """Give (orders, mean value, true own mean) of customers who spend as Gamma-Gamma says."""
    random = np.random.default_rng(seed)
    nu = random.gamma(PARAMETERS["q"], 1 / PARAMETERS["gamma"], customers)
    orders = random.integers(1, 9, customers).astype(float)
    mean = random.gamma(PARAMETERS["p"] * orders, 1 / nu) / orders
    return orders, mean, PARAMETERS["p"] / nu


def test_published_parameters(shared_data: Path) -> None:
    """The repeat spend of the CDNOW sample to 1997-09-30 gives the parameters of Fader & Hardie (2013)."""
    spent: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    with gzip.open(shared_data / "ltv-cdnow" / "CDNOW_sample.txt.gz", "rt") as lines:
        for line in lines:
            _, customer, day, _, money = line.split()
            if day <= "19970930":
                spent[customer][day] += float(money)
    repeats = [[days[d] for d in sorted(days)[1:]] for days in spent.values()]
    orders = np.array([float(len(r)) for r in repeats])
    found = gamma_gamma.fit_values(orders, np.array([np.mean(r) if r else 0.0 for r in repeats]))
    assert found.customers == 946
    assert found.parameters == pytest.approx({"p": 6.25, "q": 3.74, "gamma": 15.44}, abs=5e-3)


def test_likelihood_is_the_integral_over_customers() -> None:
    """The closed likelihood equals the gamma density of a mean, integrated over customers' own scales."""
    p, q, gamma = PARAMETERS.values()

    def weighed(nu: float) -> float:
        return stats.gamma.pdf(31.0, p * 3, scale=1 / (nu * 3)) * stats.gamma.pdf(nu, q, scale=1 / gamma)

    slow, _ = integrate.quad(weighed, 0, 5, epsabs=0, epsrel=1e-10)
    fast, _ = gamma_gamma.log_likelihood(np.log([p, q, gamma]), np.array([3.0]), np.array([31.0]))
    assert fast == pytest.approx(np.log(slow), rel=1e-8)


def test_gradient_is_that_of_finite_differences() -> None:
    """The analytic gradient equals central differences of the log-likelihood."""
    orders, mean, _ = simulate(1, 200)
    at = np.log([3.0, 2.5, 9.0])
    _, gradient = gamma_gamma.log_likelihood(at, orders, mean)
    slow = [
        (gamma_gamma.log_likelihood(at + s, orders, mean)[0] - gamma_gamma.log_likelihood(at - s, orders, mean)[0])
        / 2e-5
        for s in 1e-5 * np.eye(3)
    ]
    assert gradient == pytest.approx(np.array(slow), rel=1e-5)


def test_expected_value_is_the_posterior_mean_and_its_interval_holds() -> None:
    """Customers' true means average to the expectation, and 90% of them are in the interval."""
    orders, mean, truth = simulate(5, 40_000)
    expected = gamma_gamma.expected_value(PARAMETERS, orders, mean)
    assert expected.mean() == pytest.approx(truth.mean(), rel=0.01)
    assert np.mean((expected - truth) ** 2) < np.mean((mean - truth) ** 2)
    low, high = gamma_gamma.spread(PARAMETERS, orders, mean, 0.9)
    assert np.mean((truth >= low) & (truth <= high)) == pytest.approx(0.9, abs=0.01)


def test_known_parameters_come_back_inside_their_intervals() -> None:
    """Of the 3 x 6 true parameters of six simulated worlds, at least 15 are inside their 95% intervals."""
    inside = 0
    for seed in range(6):
        orders, mean, _ = simulate(seed, 2000)
        found = gamma_gamma.fit_values(orders, mean)
        for name, truth in PARAMETERS.items():
            low, high = found.interval(name) or (np.nan, np.nan)
            inside += low <= truth <= high
    assert inside >= 15


def test_the_currency_changes_only_the_scale() -> None:
    """Cents instead of euros give the same p and q and a hundred times the gamma."""
    orders, mean, _ = simulate(2, 1000)
    euros = gamma_gamma.fit_values(orders, mean).parameters
    cents = gamma_gamma.fit_values(orders, mean * 100).parameters
    assert cents == pytest.approx({**euros, "gamma": euros["gamma"] * 100}, rel=1e-4)


def test_the_model_keeps_the_contract() -> None:
    """GammaGamma passes the suite that every model passes."""
    orders, mean, _ = simulate(9, 300)
    table = pa.table({"frequency": orders, "mean_value": mean})
    testing.check_model(GammaGamma(), table, table)


def test_too_few_customers_are_named() -> None:
    """Fewer than twenty customers with a value are refused with the number found."""
    with pytest.raises(DataError, match=r"at least 20 customers .* got 3"):
        gamma_gamma.fit_values(np.ones(3), np.ones(3))


def test_missing_values_are_named() -> None:
    """A customer with orders and no mean value is refused with the row."""
    table = pa.table({"frequency": [1.0, 2.0], "mean_value": [3.0, None]})
    fitted = GammaGamma(files=gamma_gamma.fit_values(*simulate(1, 100)[:2]).files())
    with pytest.raises(DataError, match="the first is row 1"):
        fitted.predict(table)
