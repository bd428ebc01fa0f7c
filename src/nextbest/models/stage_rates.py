"""The simplest honest answer about an open deal, the share of deals at its stage that were won; and leaning on it.

    p = logistic((1 - w) * logit(stage rate) + w * logit(model))

The weight w is above 0 only as far as deals that taught neither side clearly support the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.models.deal_history import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nextbest.models.deal_history import Deals, Spells

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

WEIGHTS = (0.25, 0.5, 0.75, 1.0)
LEAN = 2.0  # deals that the rate of all stages weighs at each: enough to keep a stage of one deal from 0 and 1
CLEARLY = 1.645  # standard errors of a paired difference: a one-sided test at 5%
_CERTAIN = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRates:
    """How many deals that came to each stage were won, of how many that are over; and of all."""

    won: Floats
    over: Floats
    all_won: float
    all_over: float

    @property
    def base(self) -> float:
        """The win rate of all deals."""
        return (self.all_won + 0.5) / (self.all_over + 1)

    def rate(self, stage: Ints) -> Floats:
        """Give the rate of each stage; an unknown one (-1) has the rate of all."""
        rates = (self.won + LEAN * self.base) / (self.over + LEAN)
        return np.where(stage == UNKNOWN, self.base, np.append(rates, self.base)[stage])

    def interval(self, stage: Ints, level: float) -> tuple[Floats, Floats]:
        """Give the interval of each stage's rate (Beta posterior with the rate of all as its prior)."""
        from scipy.special import betaincinv

        won, over = np.append(self.won, self.all_won), np.append(self.over, self.all_over)
        a, b = won + LEAN * self.base, over - won + LEAN * (1 - self.base)
        low, high = (np.asarray(betaincinv(a, b, p)) for p in ((1 - level) / 2, (1 + level) / 2))
        return low[stage], high[stage]

    def document(self) -> dict[str, Any]:
        """Give the counts as plain values."""
        return {"won": self.won.tolist(), "over": self.over.tolist(), "all": [self.all_won, self.all_over]}


def restore(document: Mapping[str, Any]) -> StageRates:
    """Give the rates back from plain values."""
    won, over = (np.asarray(document[name], np.float64) for name in ("won", "over"))
    return StageRates(won=won, over=over, all_won=document["all"][0], all_over=document["all"][1])


def stage_rates(deals: Deals, seen: Spells, *, before: int) -> StageRates:
    """Give the rates among deals that were over before a moment."""
    over = deals.closed < before
    pair = np.unique(np.stack([seen.stage, seen.deal])[:, over[seen.deal]], axis=1)
    stage, deal = pair
    count = len(deals.stages)
    return StageRates(
        won=np.asarray(np.bincount(stage, weights=deals.won[deal].astype(np.float64), minlength=count), np.float64),
        over=np.bincount(stage, minlength=count).astype(np.float64),
        all_won=float((deals.won & over).sum()),
        all_over=float(over.sum()),
    )


def rate_of_all_begun(deals: Deals) -> float:
    """Give the win rate of deals that began, from those that are over; NaN when none is.

    Deals that take long are more often still open, so among those that are over the quick ones are too many. Each
    counts by the inverse of the share of deals that began long enough ago to have been seen to their end (Horvitz and
    Thompson 1952; Robins and Rotnitzky 1992 for censoring).
    """
    over = deals.over()
    if not len(over):
        return float("nan")
    seen_for = np.sort(deals.now - deals.opened)
    lived = deals.closed[over] - deals.opened[over]
    share = 1 - np.searchsorted(seen_for, lived, side="left") / len(seen_for)
    weight = 1 / np.maximum(share, 1 / len(seen_for))
    return float((weight * deals.won[over]).sum() / weight.sum())


def lean(stage: Floats, model: Floats, weight: float) -> Floats:
    """Give the probabilities between the stage's rate (weight 0) and the model's (weight 1)."""
    a, b = (np.log(np.clip(p, _CERTAIN, 1 - _CERTAIN) / np.clip(1 - p, _CERTAIN, 1)) for p in (stage, model))
    return np.asarray(stage if weight == 0 else 1 / (1 + np.exp(-((1 - weight) * a + weight * b))))


def supported_weight(stage: Floats, model: Floats, actual: Floats) -> float:
    """Give the weight of the model that deals which taught neither side support clearly, or 0; one row per deal."""
    losses = {w: row_loss(lean(stage, model, w), actual) for w in WEIGHTS}
    best = min(losses, key=lambda w: float(losses[w].mean()))
    gain = row_loss(stage, actual) - losses[best]
    error = float(gain.std(ddof=1)) / np.sqrt(len(gain)) if len(gain) > 1 else np.inf
    return best if float(gain.mean()) > CLEARLY * error else 0.0


def row_loss(predicted: Floats, actual: Floats) -> Floats:
    """Give the log-loss of every row."""
    p = np.clip(predicted, 1e-15, 1 - 1e-15)
    return -(actual * np.log(p) + (1 - actual) * np.log1p(-p))
