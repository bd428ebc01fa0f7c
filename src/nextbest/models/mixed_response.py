"""How a count responds to effort, account by account, each leaning on the others: a few visits say little alone.

    log E[y] = level_i + gain_i * log(1 + effort) + carry * log(1 + previous y)
    (level_i, gain_i) ~ N((mean_group + favour * usual effort of i, gain_group), S)

An account keeps its own level and gain as far as its own periods speak for them (empirical Bayes; Laplace approximation
with EM updates: Laird and Ware 1982 for the updates, Breslow and Clayton 1993 for counts). Good accounts are visited
more: without `favour` that would be taken for a gain from visits (Mundlak 1978); with it the gain comes from how an
account's own periods differ. Manchanda, Rossi and Chintagunta (2004) start from such a model for calls on physicians.
Counts spread more than Poisson: the scale of the spread (Pearson's statistic over its degrees of freedom) widens every
interval.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Places = NDArray[np.int64]

_ROUNDS, _STEPS = 60, 12
_ROUNDS_AGAIN = 20  # from an answer that is near
_CLOSE = 1e-5
_LEAST_SPREAD = 1e-4
_MOST = 30.0  # of a logarithm: exp stays finite


@dataclass(frozen=True, slots=True, kw_only=True)
class Periods:
    """Rows of accounts and periods: `account` and `group` by place (`group` per account), counts and effort >= 0."""

    account: Places
    response: Vector
    effort: Vector
    previous: Vector
    group: Places

    def rows(self, use: NDArray[np.bool_]) -> Periods:
        """Give some rows, of the same accounts."""
        return replace(
            self, account=self.account[use], response=self.response[use], effort=self.effort[use],
            previous=self.previous[use],
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What accounts have in common: `mean` per group (level, gain), their `spread` (2 x 2), and the shared numbers.

    `favour` is how much higher the level is per unit of the logarithm of usual effort, `carry` what the previous count
    adds, `scale` how many times the variance of a Poisson count the counts have.
    """

    mean: Matrix
    spread: Matrix
    favour: float
    carry: float
    scale: float

    def prior(self, seen: Periods) -> Matrix:
        """Give the level and gain that are expected of every account before its counts are looked at."""
        means: Matrix = self.mean[seen.group].copy()
        means[:, 0] += self.favour * usual_effort(seen)
        return means


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """What is known of every account: `own` (level, gain) and the `covariance` of what is not known, 2 x 2 each."""

    own: Matrix
    covariance: Matrix


def usual_effort(seen: Periods) -> Vector:
    """Give the mean logarithm of one plus the effort per account; 0 for an account without periods."""
    size = len(seen.group)
    sums = np.bincount(seen.account, weights=np.log1p(seen.effort), minlength=size)
    means: Vector = sums / np.maximum(np.bincount(seen.account, minlength=size), 1)
    return means


def fit(seen: Periods) -> Response:
    """Give what accounts have in common, learnt from all their periods."""
    groups = int(seen.group.max(initial=0)) + 1
    common = np.log(seen.response.mean() + 0.1)
    start = np.tile([common, 0.05], (groups, 1))
    found = Response(mean=start, spread=np.diag([0.5, 0.05]), favour=0.0, carry=0.1, scale=1.0)
    return _settled(found, seen, rounds=_ROUNDS)


def fit_again(found: Response, seen: Periods, draw: np.random.Generator) -> Response:
    """Give what as many accounts, drawn with replacement from these, would have in common (Laird and Louis 1987).

    How far such answers lie apart is how far the numbers that accounts share can be trusted.
    """
    rows = np.argsort(seen.account, kind="stable")
    size = np.bincount(seen.account, minlength=len(seen.group))
    first = np.cumsum(size) - size
    who = draw.integers(0, len(size), len(size))
    account = np.repeat(np.arange(len(who)), size[who])
    inside = np.arange(len(account)) - np.repeat(np.cumsum(size[who]) - size[who], size[who])
    taken = rows[first[who][account] + inside]
    drawn = Periods(
        account=account, response=seen.response[taken], effort=seen.effort[taken], previous=seen.previous[taken],
        group=seen.group[who],
    )  # fmt: skip
    return _settled(found, drawn, rounds=_ROUNDS_AGAIN)


def _settled(found: Response, seen: Periods, *, rounds: int) -> Response:
    for _ in range(rounds):
        known = accounts(found, seen)
        following = _updated(found, seen, known, len(found.mean))
        done = np.abs(following.mean - found.mean).max() + abs(following.carry - found.carry) < _CLOSE
        found = following
        if done:
            break
    return found


def accounts(response: Response, seen: Periods) -> Accounts:
    """Give level and gain of every account by Newton's rounds, and the inverse curvature there."""
    prior, precision = response.prior(seen), np.linalg.inv(response.spread)
    own, offset, effort = prior.copy(), response.carry * np.log1p(seen.previous), np.log1p(seen.effort)
    size = len(seen.group)
    information = np.tile(precision, (size, 1, 1))
    for _ in range(_STEPS):
        mean = np.exp(np.clip(own[seen.account, 0] + own[seen.account, 1] * effort + offset, -_MOST, _MOST))
        left = (seen.response - mean) / response.scale
        weight = mean / response.scale
        slope = _summed(seen.account, left, effort, size) - np.einsum("ij,kj->ki", precision, own - prior)
        information = precision + _squares(seen.account, weight, effort, size)
        step = np.linalg.solve(information, slope[:, :, None])[:, :, 0]
        own = own + np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < _CLOSE:
            break
    return Accounts(own=own, covariance=np.linalg.inv(information))


def expected(own: Matrix, account: Places, effort: Vector, previous: Vector, *, carry: float) -> Vector:
    """Give the expected count per row for its account's level and gain."""
    rows = own[account]
    total = rows[:, 0] + rows[:, 1] * np.log1p(effort) + carry * np.log1p(previous)
    means: Vector = np.exp(np.clip(total, -_MOST, _MOST))
    return means


def _updated(found: Response, seen: Periods, known: Accounts, groups: int) -> Response:
    """Give the common part that fits the accounts as they are now known."""
    mean, favour = _prior_mean(seen, known, groups)
    apart = known.own - replace(found, mean=mean, favour=favour).prior(seen)
    spread = (known.covariance + np.einsum("ki,kj->kij", apart, apart)).mean(axis=0) + np.eye(2) * _LEAST_SPREAD
    fitted = expected(known.own, seen.account, seen.effort, seen.previous, carry=found.carry)
    lagged = np.log1p(seen.previous)
    carry = found.carry + float(((seen.response - fitted) * lagged).sum() / max((fitted * lagged**2).sum(), 1e-9))
    used = _used(known, found, seen)
    pearson = float(((seen.response - fitted) ** 2 / np.maximum(fitted, 1e-9)).sum())
    scale = max(pearson / max(len(seen.response) - used - 1, 1.0), 1.0)
    return Response(mean=mean, spread=spread, favour=favour, carry=carry, scale=scale)


def _prior_mean(seen: Periods, known: Accounts, groups: int) -> tuple[Matrix, float]:
    """Give level and gain per group, and what usual effort adds to the level, by least squares over accounts."""
    usual = usual_effort(seen)
    dummies = (seen.group[:, None] == np.arange(groups)).astype(np.float64)
    # A hundredth of one account's weight keeps groups without accounts, and effort that never differs, at nought.
    design = np.column_stack([dummies, usual - usual.mean()])
    gram = np.einsum("ki,kj->ij", design, design) + 0.01 * np.eye(groups + 1)
    level = np.linalg.solve(gram, np.einsum("ki,k->i", design, known.own[:, 0]))
    sizes = np.maximum(np.bincount(seen.group, minlength=groups), 1)
    gain = np.bincount(seen.group, weights=known.own[:, 1], minlength=groups) / sizes
    return np.column_stack([level[:-1] - level[-1] * usual.mean(), gain]), float(level[-1])


def _used(known: Accounts, found: Response, seen: Periods) -> float:
    """Give the effective number of parameters: 2 per account, less what the prior holds of them."""
    held = np.einsum("kij,ji->k", known.covariance, np.linalg.inv(found.spread))
    return float((2 - np.minimum(held, 2.0)).sum()) + len(found.mean) * 2.0 * bool(len(seen.group))


def _summed(account: Places, left: Vector, effort: Vector, size: int) -> Matrix:
    return np.column_stack([np.bincount(account, weights=w, minlength=size) for w in (left, left * effort)])


def _squares(account: Places, weight: Vector, effort: Vector, size: int) -> Matrix:
    one, cross, two = (
        np.bincount(account, weights=w, minlength=size) for w in (weight, weight * effort, weight * effort**2)
    )
    return np.stack([np.stack([one, cross], axis=1), np.stack([cross, two], axis=1)], axis=1)
