"""Shifted-beta-geometric: at every renewal a subscriber leaves with a chance of their own, which does not change.

Fader & Hardie (2007), How to Project Customer Retention, Journal of Interactive Marketing 21(1). The chance is
beta(alpha, beta) over subscribers, so that the rate at which a cohort leaves falls although nobody changes: those most
likely to leave are gone first.

    ShiftedBetaGeometric(period=30.4375).fit(features, label)      features: `T` in days; label: 1 for who has left
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

NAMES = ("alpha", "beta")
MONTH_DAYS = 365.25 / 12
STARTS = np.log(np.array([[1.0, 1.0], [0.5, 3.0], [5.0, 50.0]]))
_SLACK = 1 / 12  # of a period: months have 28 to 31 days, and a period that is all but over is over


def log_likelihood(theta: Floats, periods: Floats, left: Floats, counts: Floats) -> tuple[float, Floats]:
    """Give the log-likelihood (eqs. 5 and 6) at the logs of (alpha, beta), and its gradient in them.

    A row is `counts` subscribers who left at renewal number `periods` (`left` 1), or are still there after it (0).
    """
    from scipy.special import betaln, psi

    alpha, beta = np.exp(theta)
    first, second = alpha + left, beta + periods - left
    value = dot(counts, betaln(first, second) - betaln(alpha, beta))
    both, start = psi(first + second), psi(alpha + beta)
    slopes = np.array(
        [
            dot(counts, psi(first) - both - psi(alpha) + start),
            dot(counts, psi(second) - both - psi(beta) + start),
        ]
    )
    return value, slopes * np.array([alpha, beta])


def fit_lifetimes(periods: Floats, left: Floats, *, penalty: float = 0.0) -> Estimate:
    """Give the maximum-likelihood estimate; raises `DataError` when nobody has left or been through a renewal."""
    if not len(periods) or not np.any(left > 0):
        raise DataError("Nobody has left yet, so how long subscribers stay cannot be told. Load more history.")
    keys, counts = np.unique(np.column_stack([periods, left > 0]), axis=0, return_counts=True)
    weights = counts.astype(np.float64)
    return estimate(
        NAMES,
        lambda theta: log_likelihood(theta, keys[:, 0], keys[:, 1], weights),
        STARTS,
        customers=int(counts.sum()),
        scale={},
        penalty=penalty,
    )


def stays(parameters: Mapping[str, float], renewals: Floats, more: float | Floats) -> Floats:
    """Give the chance of one who has stayed through `renewals` to stay through `more` (eq. 8): S(n + k) / S(n)."""
    from scipy.special import betaln

    alpha, beta = parameters["alpha"], parameters["beta"]
    return np.asarray(np.exp(betaln(alpha, beta + renewals + more) - betaln(alpha, beta + renewals)))


def renewals(age: Floats, period: float | Floats) -> Floats:
    """Give through how many renewals a subscriber of this age has stayed."""
    return np.asarray(np.floor(np.maximum(age, 0.0) / period + _SLACK))


def left_at(age: Floats, period: float | Floats) -> Floats:
    """Give at which renewal one who left at this age did; leaving within a period counts as not renewing it."""
    return np.asarray(np.maximum(np.ceil(np.maximum(age, 0.0) / period - _SLACK), 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftedBetaGeometric:
    """Contracts renewed every `period` days: `T` (days so far) to the chance of staying for `horizon` more renewals."""

    horizon: float = 1.0
    period: float = MONTH_DAYS
    penalty: float = 0.0
    files: Mapping[str, bytes] = field(default_factory=dict)

    def fit(self, features: pa.Table, label: pa.Table) -> Self:
        """Give a fitted copy; a label above 0 means that the subscriber left at `T`."""
        age = _age(features)
        left = (np.asarray(label.column(0).to_numpy(zero_copy_only=False), dtype=np.float64) > 0).astype(np.float64)
        periods = np.where(left > 0, left_at(age, self.period), renewals(age, self.period))
        return replace(self, files=fit_lifetimes(periods, left, penalty=self.penalty).files())

    def predict(self, features: pa.Table) -> pa.Table:
        """Give `prediction`, the chance of staying, one row per row of `features`."""
        import pyarrow as pa

        parameters = read_estimate(self.files, "shifted_beta_geometric").parameters
        return pa.table({"prediction": stays(parameters, renewals(_age(features), self.period), self.horizon)})


def _age(features: pa.Table) -> Floats:
    if "T" not in features.column_names:
        raise DataError(f"Subscribers need the column T, days so far; got: {', '.join(features.column_names)}.")
    age = np.asarray(features["T"].to_numpy(zero_copy_only=False), dtype=np.float64)
    wrong = int((~np.isfinite(age) | (age < 0)).sum())
    if wrong:
        raise DataError(f"{wrong} of {len(age)} subscribers have a T that is missing or negative. Leave them out.")
    return age
