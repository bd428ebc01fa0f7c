"""The effect of a randomised action: a difference of means with Welch's interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextbest.errors import ConfigError
from nextbest.types import Effect

if TYPE_CHECKING:
    from nextbest.types import Statistics

LEAST = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Randomised:
    """Treated minus control per subject; each arm with its own variance (Welch 1947), degrees by Satterthwaite (1946).

    Fewer than `least` subjects in an arm, or arms without any variation, are not enough to tell.

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
        parts = variance(treated) / treated.n, variance(control) / control.n
        estimate, error = treated.mean - control.mean, math.sqrt(sum(parts))
        reach = error * quantile(level, degrees(parts, (treated.n, control.n)))
        return Effect(
            outcome="",
            design="randomised",
            baseline="control",
            status="ok",
            estimate=estimate,
            low=estimate - reach,
            high=estimate + reach,
            level=level,
            n=n,
            details={
                "treated": _arm(treated),
                "control": _arm(control),
                "standard_error": error,
                "relative": estimate / control.mean if control.mean else None,
                "p_value": p_value(estimate / error, degrees(parts, (treated.n, control.n))),
            },
        )

    def _too_little(self, treated: Statistics, control: Statistics) -> str:
        for name, arm in (("treated", treated), ("control", control)):
            if arm.n < self.least:
                return f"The {name} arm has {arm.n} subjects; at least {self.least} are needed."
        if variance(treated) + variance(control) <= 0:
            return "Every subject had the same outcome, so there is no variation to judge a difference by."
        return ""


def variance(arm: Statistics) -> float:
    """Give the unbiased variance of an arm from its sums."""
    # Rounding of the sums may leave a hair below zero when all outcomes are alike.
    return max(0.0, (arm.total_squares - arm.total**2 / arm.n) / (arm.n - 1))


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
