"""BG/NBD: customers buy at random while alive, and may leave for good after any purchase.

Fader, Hardie & Lee (2005), "Counting Your Customers" the Easy Way, Marketing Science 24(2); equations by number.
Purchases at rate lambda ~ gamma(r, alpha); after each repeat purchase a customer leaves with p ~ beta(a, b).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Self

import numpy as np

from nextbest.models.grouping import Histories, histories, newcomers
from nextbest.models.likelihood import Estimate, estimate, read_estimate
from nextbest.models.purchases import by_frequency, dot, purchases_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NAMES = ("r", "alpha", "a", "b")
_LARGE_A, _LARGE_B = 100.0, 1e4
STARTS = np.log(np.array([[0.5, 0.5, 0.7, 2.0], [1.0, 0.1, 0.2, 1.0], [3.0, 1.0, 1.0, 10.0]]))


def log_likelihood(theta: Floats, rows: Histories) -> tuple[float, Floats]:
    """Give the log-likelihood (eq. 6) at the logarithms of (r, alpha, a, b), and its gradient in them."""
    from scipy.special import gammaln, psi

    r, alpha, a, b = np.exp(theta)
    x, n = rows.frequency, rows.counts
    log_end, log_last, log_leave = _log_terms(theta, rows)
    alive = 1 / (1 + np.exp(np.minimum(log_leave - log_end, 700.0)))
    gone = 1 - alive
    log_mix = np.logaddexp(log_end, log_leave)
    per_x = by_frequency(x, lambda k: gammaln(r + k) + gammaln(b + k) - gammaln(a + b + k))
    total = n.sum()
    value = dot(n, per_x + log_mix) + total * (r * theta[1] - gammaln(r) + gammaln(a + b) - gammaln(b))
    slope_ab = by_frequency(x, lambda k: psi(a + b + k))
    slope_b = by_frequency(x, lambda k: psi(b + k))
    slope_r = by_frequency(x, lambda k: psi(r + k))
    buys = n * (r + x)
    gradient = np.array(
        [
            dot(n, slope_r - alive * log_last[0] - gone * log_last[1]) + total * (theta[1] - psi(r)),
            total * r / alpha - dot(buys, alive / (alpha + rows.age) + gone / (alpha + rows.recency)),
            total * psi(a + b) - dot(n, slope_ab) + dot(n, gone) / a,
            total * (psi(a + b) - psi(b)) + dot(n, slope_b - slope_ab - gone / np.where(x > 0, b + x - 1, np.inf)),
        ]
    )
    return float(value), gradient * np.array([r, alpha, a, b])


def _log_terms(theta: Floats, rows: Histories) -> tuple[Floats, tuple[Floats, Floats], Floats]:
    """Give log A3, the logs of alpha + T and alpha + recency, and log A4 (-inf without a repeat), eq. 6's terms."""
    r, alpha, a, b = np.exp(theta)
    x = rows.frequency
    log_age, log_recency = np.log(alpha + rows.age), np.log(alpha + rows.recency)
    with np.errstate(divide="ignore"):
        leave = by_frequency(x, lambda k: np.where(k > 0, np.log(a) - np.log(np.where(k > 0, b + k - 1, 1)), -np.inf))
    return -(r + x) * log_age, (log_age, log_recency), leave - (r + x) * log_recency


def fit_histories(rows: Histories, *, penalty: float = 0.0) -> Estimate:
    """Give the maximum-likelihood estimate; times are scaled to the longest age, results are in the data's unit."""
    unit = float(rows.age.max())
    scaled = replace(rows, recency=rows.recency / unit, age=rows.age / unit)
    shift = -dot(rows.counts, rows.frequency) * np.log(unit)
    return estimate(
        NAMES,
        lambda theta: log_likelihood(theta, scaled),
        STARTS,
        customers=rows.customers,
        scale={"alpha": unit},
        shift=shift,
        penalty=penalty,
    )


def probability_alive(parameters: Mapping[str, float], rows: Histories) -> Floats:
    """Give P(alive at T | history) per row: A3's share of the likelihood; 1 without a repeat purchase."""
    log_end, _, log_leave = _log_terms(_theta(parameters), rows)
    return np.asarray(1 / (1 + np.exp(np.minimum(log_leave - log_end, 700.0))))


def expected_purchases(parameters: Mapping[str, float], rows: Histories, horizon: float | Floats) -> Floats:
    """Give E[purchases in (T, T + horizon] | history] per row (eq. 10).

    A customer of rate lambda who leaves with p after a purchase is expected to buy (1 - e^(-lambda p t)) / p times, so
    the expectation is a mean over p ~ beta(a, b + x): in closed form by a hypergeometric function, or by nodes where a
    or b is so large that p is all but one number, and wherever else the function cannot be computed (histories that
    are all alike push r beyond what it takes).
    """
    a, b = parameters["a"], parameters["b"]
    if abs(a - 1) < 1e-5:  # a removable singularity: the mean of both sides is exact to the square of the distance
        sides = [expected_purchases({**parameters, "a": 1 + d}, rows, horizon) for d in (-2e-5, 2e-5)]
        return np.asarray((sides[0] + sides[1]) / 2)
    stays = _by_nodes if a > _LARGE_A or b > _LARGE_B else _by_series
    bought = stays(parameters, rows, horizon)
    if not np.isfinite(bought).all():
        bought = np.where(np.isfinite(bought), bought, _by_nodes(parameters, rows, horizon))
    return np.asarray(probability_alive(parameters, rows) * bought)


def _by_series(parameters: Mapping[str, float], rows: Histories, horizon: float | Floats) -> Floats:
    """Give the expectation of one who is alive (eq. 10's numerator).

    The hypergeometric function is taken after Euler's transformation, which removes the factor
    (1 - z)^(a - 1 - r - x) that overflows for frequent buyers.
    """
    from scipy.special import hyp2f1

    r, alpha, a, b = (parameters[name] for name in NAMES)
    x = rows.frequency
    z = horizon / (alpha + rows.age + horizon)
    series = (1 - z) ** (a - 1) * hyp2f1(a + b - 1 - r, a - 1, a + b + x - 1, z)
    return np.asarray((a + b + x - 1) / (a - 1) * (1 - series))


def _by_nodes(parameters: Mapping[str, float], rows: Histories, horizon: float | Floats) -> Floats:
    """Give the same over 32 quantiles of p (Gauss-Legendre in its chance)."""
    r, alpha, a, b = (parameters[name] for name in NAMES)
    nodes, weights = np.polynomial.legendre.leggauss(32)
    total = np.zeros(len(rows.frequency))
    for chance, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        leave = by_frequency(rows.frequency, partial(_leaving, a, b, chance))
        bought = -np.expm1(-(r + rows.frequency) * np.log1p(leave * horizon / (alpha + rows.age)))
        total += weight * bought / leave
    return total


def _leaving(a: float, b: float, chance: float, x: Floats) -> Floats:
    """Give the quantile of p ~ beta(a, b + x); never 0, by which it is divided."""
    from scipy.special import betaincinv

    return np.asarray(np.maximum(betaincinv(a, b + x, chance), 1e-12))


def expected_for_new(parameters: Mapping[str, float], age: Floats) -> Floats:
    """Give E[repeat purchases by `age`] of a customer of whom nothing else is known (eq. 9)."""
    return expected_purchases(parameters, newcomers(len(age)), age)


def tail(parameters: Mapping[str, float], rows: Histories, horizon: float, k: Floats) -> Floats:
    """Give P(at least k purchases in (T, T + horizon] | history) per row, k >= 1.

    Given alive, rate and leaving are independent: rate ~ gamma(r + x, alpha + T) makes the purchases of one who
    stays negative binomial, and staying through k - 1 of them has the chance B(a, b + x + k - 1) / B(a, b + x).
    """
    from scipy.special import betainc, betaln

    r, alpha, a, b = (parameters[name] for name in NAMES)
    x = rows.frequency
    buys = betainc(k, r + x, horizon / (alpha + rows.age + horizon))
    stays = np.exp(betaln(a, b + x + k - 1) - betaln(a, b + x))
    return np.asarray(probability_alive(parameters, rows) * buys * stays)


def _theta(parameters: Mapping[str, float]) -> Floats:
    return np.asarray(np.log(np.array([parameters[name] for name in NAMES])))


@dataclass(frozen=True, slots=True, kw_only=True)
class BGNBD:
    """BG/NBD as a model: `frequency`, `recency`, `T` to the purchases of the next `horizon`, all in one unit of time.

    `level` is the share of customers whose count the interval should hold; None leaves the interval out.
    """

    horizon: float = 30.0
    level: float | None = 0.9
    penalty: float = 0.0
    files: Mapping[str, bytes] = field(default_factory=dict)

    def fit(self, features: pa.Table, label: pa.Table) -> Self:  # noqa: ARG002 (histories are their own label)
        """Give a fitted copy; `label` is not read."""
        return replace(self, files=fit_histories(histories(features), penalty=self.penalty).files())

    def predict(self, features: pa.Table) -> pa.Table:
        """Give `prediction` (purchases), `low`, `high` and `probability_alive`, one row per row of `features`."""
        parameters = read_estimate(self.files, "bg_nbd").parameters
        rows = histories(features)
        return purchases_table(
            rows,
            expected=expected_purchases(parameters, rows, self.horizon),
            alive=probability_alive(parameters, rows),
            tail=lambda part, k: tail(parameters, part, self.horizon, k),
            level=self.level,
        )
