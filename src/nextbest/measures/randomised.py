"""The effect of a randomised action: a difference of means with Welch's interval; rare answers get a score interval.

Where an arm has few answers its own variance is a poor guide: a holdout of 100 in which nobody happened to order shows
no variance at all, and Welch's interval then holds the truth in 64 of 100 trials instead of 95 (simulated). Yes-or-no
outcomes then get Newcombe's interval; amounts are not told before enough subjects have any.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from nextbest.errors import ConfigError
from nextbest.types import Effect

if TYPE_CHECKING:
    from nextbest.types import Statistics

LEAST = 30
RARE = 30  # with fewer yes or no in an arm the sampling distribution of its rate is too skewed for Student's t


@dataclass(frozen=True, slots=True, kw_only=True)
class Randomised:
    """Treated minus control per subject; each arm with its own variance (Welch 1947), degrees by Satterthwaite (1946).

    Yes-or-no outcomes with fewer than `RARE` of either answer in an arm: Newcombe's hybrid score interval (1998,
    Statistics in Medicine 17, 873-890, method 10) and the pooled score test. Fewer than `least` subjects in an arm,
    amounts of fewer than `least` subjects in an arm, or arms without any variation, are not enough to tell.

    >>> from nextbest.types import Statistics
    >>> control = Statistics(n=1000, total=90, total_squares=90)
    >>> got = Randomised().effect(Statistics(n=1000, total=120, total_squares=120), control)
    >>> round(got.estimate, 3), round(got.low, 4), round(got.high, 4)
    (0.03, 0.0031, 0.0569)
    """

    least: int = LEAST

    def __post_init__(self) -> None:
        if self.least < 2:
            raise ConfigError(f"Measure 'randomised' needs least >= 2 subjects per arm, got {self.least}.")

    def effect(self, treated: Statistics, control: Statistics, *, level: float = 0.95) -> Effect:
        """Give the difference per subject with its interval, or why it cannot be told."""
        if not 0 < level < 1:
            raise ConfigError(f"A level is between 0 and 1, such as 0.95; got {level}.")
        n = treated.n + control.n
        why = self._too_little(treated, control)
        if why:
            return _untold("not_enough_data", why, n=n, level=level)
        rare = all(is_share(arm) for arm in (treated, control)) and min(map(_rarer, (treated, control))) < RARE
        low, high, error, p = (_by_score if rare else _by_welch)(treated, control, level)
        estimate = treated.mean - control.mean
        return Effect(
            outcome="",
            design="randomised",
            baseline="control",
            status="ok",
            estimate=estimate,
            low=low,
            high=high,
            level=level,
            n=n,
            details={
                "treated": _arm(treated),
                "control": _arm(control),
                "standard_error": error,
                "relative": estimate / control.mean if control.mean else None,
                "p_value": p,
                "interval": "newcombe" if rare else "welch",
            },
        )

    def _too_little(self, treated: Statistics, control: Statistics) -> str:
        for name, arm in (("treated", treated), ("control", control)):
            if arm.n < self.least:
                return f"The {name} arm has {arm.n} subjects; at least {self.least} are needed."
            if arm.answered is not None and arm.answered < self.least and not (is_share(treated) and is_share(control)):
                return (
                    f"Only {arm.answered} of the {arm.n} subjects of the {name} arm have an amount other than 0; "
                    f"at least {self.least} are needed to judge a mean that so few decide."
                )
        if not math.isfinite(treated.total_squares + control.total_squares):
            return "The outcomes are too large to be squared and summed. Measure them in a larger unit."
        if variance(treated) + variance(control) <= 0:
            return "Every subject had the same outcome, so there is no variation to judge a difference by."
        return ""


def is_share(arm: Statistics) -> bool:
    """Tell whether the outcomes are all 0 or 1: only then are their sum and the sum of their squares the same count."""
    return arm.total == arm.total_squares and 0 <= arm.total <= arm.n and (arm.answered in (None, arm.total))


def score_interval(rate: float, n: float, z: float) -> tuple[float, float]:
    """Give Wilson's interval (1927) of a rate seen on *n* subjects, *z* standard errors to either side."""
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    reach = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - reach), min(1.0, centre + reach)


def score_difference(rates: tuple[float, float], counts: tuple[float, float], z: float) -> tuple[float, float]:
    """Give Newcombe's interval of the first rate less the second, from Wilson's interval of either."""
    (first, second), difference = rates, rates[0] - rates[1]
    (low_1, high_1), (low_2, high_2) = (score_interval(r, n, z) for r, n in zip(rates, counts, strict=True))
    below, above = math.hypot(first - low_1, high_2 - second), math.hypot(high_1 - first, second - low_2)
    return difference - below, difference + above


def _by_welch(treated: Statistics, control: Statistics, level: float) -> tuple[float, float, float, float]:
    """Give low, high, standard error and p-value by each arm's own variance."""
    parts = variance(treated) / treated.n, variance(control) / control.n
    estimate, error = treated.mean - control.mean, math.sqrt(sum(parts))
    freedom = degrees(parts, (treated.n, control.n))
    reach = error * quantile(level, freedom)
    return estimate - reach, estimate + reach, error, p_value(estimate / error, freedom)


def _by_score(treated: Statistics, control: Statistics, level: float) -> tuple[float, float, float, float]:
    """Give the same by the scores of two rates; the test is that of the pooled rate."""
    normal = NormalDist()
    low, high = score_difference((treated.mean, control.mean), (treated.n, control.n), normal.inv_cdf((1 + level) / 2))
    both = treated + control
    pooled = math.sqrt(both.mean * (1 - both.mean) * (1 / treated.n + 1 / control.n))
    error = math.sqrt(variance(treated) / treated.n + variance(control) / control.n)
    return low, high, error, 2 * normal.cdf(-abs(treated.mean - control.mean) / pooled)


def _rarer(arm: Statistics) -> float:
    return min(arm.total, arm.n - arm.total)


def variance(arm: Statistics) -> float:
    """Give the unbiased variance of an arm from its sums."""
    # Rounding of the sums may leave a hair below zero when all outcomes are alike.
    return max(0.0, (arm.total_squares - arm.total * arm.mean) / (arm.n - 1))


def degrees(parts: tuple[float, float], counts: tuple[int, int]) -> float:
    """Give the Welch-Satterthwaite degrees of freedom of two squared standard errors."""
    spread = sum(part**2 / (n - 1) for part, n in zip(parts, counts, strict=True))
    return sum(parts) ** 2 / spread


def quantile(level: float, freedom: float) -> float:
    """Give how many standard errors an interval reaches to either side (Student's t)."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))


def p_value(statistic: float, freedom: float) -> float:
    """Give the two-sided chance of a statistic at least so large when there is no effect (Student's t)."""
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(statistic)))


def _arm(arm: Statistics) -> dict[str, float]:
    return {"n": arm.n, "mean": arm.mean}


def _untold(status: str, why: str, *, n: int, level: float) -> Effect:
    return Effect(outcome="", design="randomised", baseline="control", status=status, why=why, n=n, level=level)  # type: ignore[arg-type]  # one of Status
