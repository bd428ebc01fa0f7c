"""Pareto/NBD: customers buy at random while alive, and may leave for good at any moment.

Schmittlein, Morrison & Colombo (1987), Management Science 33(1), as derived by Fader & Hardie (2005), A Note on
Deriving the Pareto/NBD Model and Related Expressions. Purchases at rate lambda ~ gamma(r, alpha), leaving at rate
mu ~ gamma(s, beta).

Their likelihood holds the difference of two Gaussian hypergeometric functions, which cancels badly and has no simple
derivative. That difference is the integral over the unseen moment of leaving,

    J = s * integral from recency to T of (alpha + t)^-(r + x) * (beta + t)^-(s + 1) dt,

smooth and positive: we take it by Gauss-Legendre nodes in the logarithm of (least of alpha and beta) + t, and its
derivatives under the integral with the same nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
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

NAMES = ("r", "alpha", "s", "beta")
STARTS = np.log(np.array([[0.5, 0.3, 0.5, 0.3], [1.0, 0.1, 1.0, 1.0], [3.0, 1.0, 0.3, 3.0]]))
MOST_NODES = 40
_FORGET = 36.0  # e^-36 of the integrand's start: below the rounding of the sum
_BLOCK = 4_000  # rows at a time, so that nodes x rows stay in the cache


@lru_cache(maxsize=64)
def _rule(difficulty: int) -> tuple[Floats, Floats]:
    """Give Gauss-Legendre nodes and weights, enough of them for twelve digits.

    The error of n nodes is (c / 2)^(2n) n!^4 / (2n)!^3 of e^-cy, and rho^-2n for the poles of the other factor, pi away
    from the real axis of the logarithm: 8 + max(0.45 c, 1.5 width) nodes hold both below 1e-12.
    """
    return np.polynomial.legendre.leggauss(8 + min(difficulty, MOST_NODES - 8))


def _integral(theta: Floats, recency: Floats, age: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Give log J per row and, in four columns, the means of log and reciprocal of alpha + t and beta + t under it."""
    r, alpha, s, beta = np.exp(theta)
    near, far = min(alpha, beta), max(alpha, beta)
    start = np.log(near + recency)
    fast = (s, r + x) if beta < alpha else (r + x - 1, s + 1)
    rate = fast[0] + fast[1] * (near + recency) / (far + recency)  # decay in the log of time; it only grows from here
    width = np.minimum(np.log(near + age) - start, _FORGET / np.maximum(rate, 1e-3))
    nodes, weights = _rule(int(np.max(np.maximum(0.45 * width * sum(fast), 1.5 * width), initial=0.0)))
    log_near = start + width * (0.5 * (nodes + 1))[:, None]
    moved = np.exp(log_near)
    log_far = np.log(moved + (far - near))
    log_alpha, log_beta = (log_near, log_far) if alpha <= beta else (log_far, log_near)
    height = -(r + x) * log_alpha - (s + 1) * log_beta + log_near  # the last is dt / d log
    peak = height.max(axis=0)
    mass = np.exp(height - peak) * weights[:, None]
    total = mass.sum(axis=0)
    near_back, far_back = 1 / moved, 1 / (moved + (far - near))
    alpha_back, beta_back = (near_back, far_back) if alpha <= beta else (far_back, near_back)
    means = np.array([(mass * part).sum(axis=0) for part in (log_alpha, alpha_back, log_beta, beta_back)]) / total
    with np.errstate(divide="ignore"):
        return np.log(total) + peak + np.log(0.5 * width) + theta[2], means


def _parts(theta: Floats, rows: Histories) -> tuple[Floats, Floats, Floats]:
    """Give the logs of the two terms, alive at T and gone before it, and the means under the second."""
    r, alpha, s, beta = np.exp(theta)
    x, t = rows.frequency, rows.age
    log_alive = -(r + x) * np.log(alpha + t) - s * np.log(beta + t)
    log_gone, means = np.empty(len(x)), np.empty((4, len(x)))
    for first in range(0, len(x), _BLOCK):
        part = slice(first, first + _BLOCK)
        log_gone[part], means[:, part] = _integral(theta, rows.recency[part], t[part], x[part])
    return log_alive, log_gone, means


def log_likelihood_rows(theta: Floats, rows: Histories) -> Floats:
    """Give the log-likelihood of each row (Fader & Hardie 2005, eq. 18 with the integral kept) without its count."""
    from scipy.special import gammaln

    r, _, s, _ = np.exp(theta)
    log_alive, log_gone, _ = _parts(theta, rows)
    per_x = by_frequency(rows.frequency, lambda k: gammaln(r + k) - gammaln(r))
    return np.asarray(per_x + r * theta[1] + s * theta[3] + np.logaddexp(log_alive, log_gone))


def log_likelihood(theta: Floats, rows: Histories) -> tuple[float, Floats]:
    """Give the log-likelihood at the logarithms of (r, alpha, s, beta), and its gradient in them."""
    from scipy.special import gammaln, psi

    r, alpha, s, beta = np.exp(theta)
    x, n, t = rows.frequency, rows.counts, rows.age
    log_alive, log_gone, means = _parts(theta, rows)
    log_sum = np.logaddexp(log_alive, log_gone)
    alive, gone = n * np.exp(log_alive - log_sum), n * np.exp(log_gone - log_sum)
    total = n.sum()
    constant = r * theta[1] + s * theta[3] - gammaln(r)
    value = dot(n, by_frequency(x, lambda k: gammaln(r + k)) + log_sum) + total * constant
    slope = dot(n, by_frequency(x, lambda k: psi(r + k)))
    gradient = np.array(
        [
            slope + total * (theta[1] - psi(r)) - dot(alive, np.log(alpha + t)) - dot(gone, means[0]),
            total * r / alpha - dot(alive, (r + x) / (alpha + t)) - dot(gone, (r + x) * means[1]),
            total * theta[3] - dot(alive, np.log(beta + t)) + gone.sum() / s - dot(gone, means[2]),
            total * s / beta - s * dot(alive, 1 / (beta + t)) - (s + 1) * dot(gone, means[3]),
        ]
    )
    return float(value), gradient * np.array([r, alpha, s, beta])


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
        scale={"alpha": unit, "beta": unit},
        shift=shift,
        penalty=penalty,
    )


def probability_alive(parameters: Mapping[str, float], rows: Histories) -> Floats:
    """Give P(alive at T | history) per row: the share of the first term of the likelihood (2005 note, eq. 20)."""
    log_alive, log_gone, _ = _parts(_theta(parameters), rows)
    return np.asarray(1 / (1 + np.exp(np.minimum(log_gone - log_alive, 700.0))))


def expected_purchases(parameters: Mapping[str, float], rows: Histories, horizon: float | Floats) -> Floats:
    """Give E[purchases in (T, T + horizon] | history] per row (2005 note, eq. 22)."""
    r, alpha, s, beta = (parameters[name] for name in NAMES)
    rate = (r + rows.frequency) / (alpha + rows.age)
    lived = (beta + rows.age) * _grown(1 - s, np.log1p(horizon / (beta + rows.age)))
    return np.asarray(probability_alive(parameters, rows) * rate * lived)


def expected_for_new(parameters: Mapping[str, float], age: Floats) -> Floats:
    """Give E[repeat purchases by `age`] of a customer of whom nothing else is known (2005 note, eq. 17)."""
    return expected_purchases(parameters, newcomers(len(age)), age)


def tail(parameters: Mapping[str, float], rows: Histories, horizon: float, k: Floats) -> Floats:
    """Give P(at least k purchases in (T, T + horizon] | history) per row, k >= 1.

    Given alive at T, purchases in a stay of length w are negative binomial with rate ~ gamma(r + x, alpha + T); the
    stay has P(stay > w) = ((beta + T) / (beta + T + w))^s, averaged over 16 Gauss-Legendre nodes of its chance.
    """
    from scipy.special import betainc

    r, alpha, s, beta = (parameters[name] for name in NAMES)
    shape, age = r + rows.frequency, rows.age
    stays = ((beta + age) / (beta + age + horizon)) ** s
    total = stays * betainc(k, shape, horizon / (alpha + age + horizon))
    nodes, weights = np.polynomial.legendre.leggauss(16)
    for node, weight in zip(nodes, weights, strict=True):
        left = stays + (1 - stays) * (node + 1) / 2  # P(stay > w) between its value at the horizon and 1
        stay = (beta + age) * np.expm1(-np.log(left) / s)
        total = total + (1 - stays) * weight / 2 * betainc(k, shape, stay / (alpha + age + stay))
    return np.asarray(probability_alive(parameters, rows) * total)


def waiting_time(parameters: Mapping[str, float], rows: Histories, chance: float) -> Floats:
    """Give per row the time from T by which, with this chance, one who is and stays alive has bought again.

    Rate ~ gamma(r + x, alpha + T), so P(no purchase by w) = ((alpha + T) / (alpha + T + w))^(r + x).
    """
    known = parameters["alpha"] + rows.age
    return np.asarray(known * np.expm1(-np.log1p(-chance) / (parameters["r"] + rows.frequency)))


def _grown(power: float, log_ratio: Floats) -> Floats:
    """Give (e^(power * log_ratio) - 1) / power, continuous through power 0."""
    return np.asarray(log_ratio if abs(power) < 1e-12 else np.expm1(power * log_ratio) / power)


def _theta(parameters: Mapping[str, float]) -> Floats:
    return np.asarray(np.log(np.array([parameters[name] for name in NAMES])))


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoNBD:
    """Pareto/NBD as a model: `frequency`, `recency`, `T` to the purchases of the next `horizon`, all in one unit.

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
        parameters = read_estimate(self.files, "pareto_nbd").parameters
        rows = histories(features)
        return purchases_table(
            rows,
            expected=expected_purchases(parameters, rows, self.horizon),
            alive=probability_alive(parameters, rows),
            tail=lambda part, k: tail(parameters, part, self.horizon, k),
            level=self.level,
        )
