"""Gamma-Gamma: what a customer spends per order varies around a mean of their own.

Fader & Hardie (2013), The Gamma-Gamma Model of Monetary Value; equations by number. An order's value is
gamma(p, nu), nu ~ gamma(q, gamma); spend is taken to be unrelated to how often one buys (`correlation` in the
estimate's facts says how far that holds: look at it).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from nextbest.errors import DataError
from nextbest.models.likelihood import Estimate, estimate, read_estimate
from nextbest.models.purchases import dot

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NAMES = ("p", "q", "gamma")
STARTS = np.log(np.array([[3.0, 3.0, 1.0], [1.0, 10.0, 10.0], [10.0, 2.0, 0.1]]))
FEWEST = 20  # customers with a positive mean: below this three parameters say nothing


def log_likelihood(theta: Floats, orders: Floats, mean_value: Floats) -> tuple[float, Floats]:
    """Give the log-likelihood (eq. 1a) of mean order values at the logs of (p, q, gamma), and its gradient in them."""
    from scipy.special import gammaln, psi

    p, q, gamma = np.exp(theta)
    shape = p * orders
    spent = orders * mean_value
    log_all, log_spent = np.log(gamma + spent), np.log(spent)
    value = (
        gammaln(shape + q) - gammaln(shape) - gammaln(q) + q * theta[2] + shape * log_spent - (shape + q) * log_all
    ).sum() - np.log(mean_value).sum()
    shared = psi(shape + q)
    gradient = np.array(
        [
            dot(orders, shared - psi(shape) + log_spent - log_all),
            (shared - psi(q) + theta[2] - log_all).sum(),
            (q / gamma - (shape + q) / (gamma + spent)).sum(),
        ]
    )
    return float(value), gradient * np.array([p, q, gamma])


def fit_values(orders: Floats, mean_value: Floats, *, penalty: float = 0.0) -> Estimate:
    """Give the maximum-likelihood estimate from customers with at least one order and a positive mean value."""
    use = (orders > 0) & (mean_value > 0)
    if use.sum() < FEWEST:
        message = (
            f"Gamma-Gamma needs at least {FEWEST} customers with orders of positive mean value; got {int(use.sum())}. "
            "Load a longer history, or use the average order value instead."
        )
        raise DataError(message)
    x, m = orders[use], mean_value[use]
    unit = float(np.median(m))
    related = float(np.corrcoef(x, m)[0, 1]) if np.ptp(x) > 0 and np.ptp(m) > 0 else 0.0
    return estimate(
        NAMES,
        lambda theta: log_likelihood(theta, x, m / unit),
        STARTS,
        customers=len(x),
        scale={"gamma": unit},
        shift=-len(x) * float(np.log(unit)),
        penalty=penalty,
        facts={"correlation": related},
    )


def expected_value(parameters: Mapping[str, float], orders: Floats, mean_value: Floats) -> Floats:
    """Give E[mean value of an order | history] (eq. 5): own mean and everybody's, weighted by what is known.

    With q <= 1 the mean over all customers does not exist; q is then taken as 1.01.
    """
    p, q, gamma = (parameters[name] for name in NAMES)
    weight = p * orders + max(q, 1.01) - 1
    return np.asarray(p * (gamma + orders * np.where(orders > 0, mean_value, 0.0)) / weight)


def spread(parameters: Mapping[str, float], orders: Floats, mean_value: Floats, level: float) -> tuple[Floats, Floats]:
    """Give the interval that holds a customer's own mean value with chance `level`: p / nu, nu ~ gamma (eq. 4)."""
    from scipy.special import gammaincinv

    p, q, gamma = (parameters[name] for name in NAMES)
    shape = p * orders + q
    rate = gamma + orders * np.where(orders > 0, mean_value, 0.0)
    low, high = (p * rate / gammaincinv(shape, chance) for chance in ((1 + level) / 2, (1 - level) / 2))
    return low, high


@dataclass(frozen=True, slots=True, kw_only=True)
class GammaGamma:
    """Gamma-Gamma as a model: `frequency` (orders behind the mean) and `mean_value` to the expected order value."""

    level: float = 0.9
    penalty: float = 0.0
    files: Mapping[str, bytes] = field(default_factory=dict)

    def fit(self, features: pa.Table, label: pa.Table) -> Self:  # noqa: ARG002 (values are their own label)
        """Give a fitted copy; `label` is not read."""
        return replace(self, files=fit_values(*_columns(features), penalty=self.penalty).files())

    def predict(self, features: pa.Table) -> pa.Table:
        """Give `prediction` (money per order) with `low`, `high`, one row per row of `features`."""
        import pyarrow as pa

        parameters = read_estimate(self.files, "gamma_gamma").parameters
        orders, mean_value = _columns(features)
        low, high = spread(parameters, orders, mean_value, self.level)
        expected = expected_value(parameters, orders, mean_value)
        return pa.table({"prediction": expected, "low": np.minimum(low, expected), "high": np.maximum(high, expected)})


def _columns(features: pa.Table) -> tuple[Floats, Floats]:
    missing = [name for name in ("frequency", "mean_value") if name not in features.column_names]
    if missing:
        message = f"Gamma-Gamma needs the columns frequency, mean_value; missing: {', '.join(missing)}."
        raise DataError(message)
    orders, mean_value = (
        np.asarray(features[name].to_numpy(zero_copy_only=False), dtype=np.float64)
        for name in ("frequency", "mean_value")
    )
    mean_value = np.where(orders > 0, mean_value, 0.0)  # without an order there is no mean to be missing
    wrong = np.flatnonzero(~(np.isfinite(orders) & (orders >= 0) & np.isfinite(mean_value) & (mean_value >= 0)))
    if len(wrong):
        i = wrong[0]
        message = (
            f"{len(wrong)} of {len(orders)} rows have a frequency or mean_value that is missing or negative; the first "
            f"is row {i}: frequency {orders[i]:g}, mean_value {mean_value[i]:g}. Fill or leave out such rows."
        )
        raise DataError(message)
    return orders, mean_value
