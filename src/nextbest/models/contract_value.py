"""What running contracts will bring: the monthly amount for as long as they are expected to be renewed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest.models.contracts import MONTH_DAYS
from nextbest.models.likelihood import read_estimate
from nextbest.models.sbg import ShiftedBetaGeometric, renewals, stays

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nextbest.models.contracts import Contracts
    from nextbest.types import Model

    Floats = NDArray[np.float64]

FEWEST, FEWEST_ENDED = 30, 10  # contracts of one billing period, and of them ended, for a curve of their own
POOLED = "renewal"
PENALTY = 0.01  # see clv_windows.PENALTY


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """By what share the amount of a running contract changes per month, with its 95% interval; None: not seen."""

    rate: float
    low: float | None
    high: float | None

    @property
    def used(self) -> float:
        """The rate where it is surely not 0, else 0."""
        sure = self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)
        return self.rate if sure else 0.0


def retention(known: Contracts, cut: float) -> dict[str, Model]:
    """Give the model of renewals of all contracts, and one per billing period that has enough of them, by name."""
    age = np.minimum(known.end, cut) - known.start
    ended = np.isfinite(known.end)
    parts: dict[str, Model] = {POOLED: _fitted(age / known.months, ended, MONTH_DAYS)}
    for months in np.unique(known.months):
        rows = known.months == months
        if rows.sum() >= FEWEST and ended[rows].sum() >= FEWEST_ENDED:
            parts[_name(months)] = _fitted(age[rows], ended[rows], float(months * MONTH_DAYS))
    return parts


def _name(months: float) -> str:
    return f"renewal_{round(months * MONTH_DAYS)}_days"


def _fitted(age: Floats, ended: NDArray[np.bool_], period: float) -> Model:
    model = ShiftedBetaGeometric(period=period)
    features, label = pa.table({"T": age}), pa.table({"left": ended.astype(np.float64)})
    fitted = model.fit(features, label)
    if read_estimate(fitted.files, POOLED).converged:
        return fitted
    return replace(model, penalty=PENALTY).fit(features, label)


def growth(known: Contracts) -> Growth:
    """Give the rate at which amounts changed while contracts ran: sum of changes over sum of amounts times months.

    The interval takes contracts as drawn from many (delta method of a ratio of sums).
    """
    total = float(known.exposure.sum())
    if total <= 0:
        return Growth(rate=0.0, low=None, high=None)
    rate = float(known.change.sum()) / total
    error = float(np.sqrt(((known.change - rate * known.exposure) ** 2).sum())) / total
    return Growth(rate=rate, low=rate - 1.96 * error, high=rate + 1.96 * error)


def worth(
    parts: Mapping[str, Model],
    known: Contracts,
    cut: float,
    *,
    days: int,
    growing: float = 0.0,
    discount_rate: float = 0.0,
    level: float = 0.9,
) -> dict[str, Floats]:
    """Give per contract the expected amount of the next `days` (`value`, `low`, `high`) and `stays`: to their end.

    A period that has begun is paid to its end; each further one is when the contract is renewed (Fader & Hardie 2007,
    eq. 8). Amounts change by `growing` a month and count less by `discount_rate` a year the later they come. `low`
    and `high` are the amounts when it ends as early, or as late, as the outer chances of `level`.
    """
    running = np.isinf(known.end)
    period, horizon = known.months, days / MONTH_DAYS
    age = np.maximum(cut - known.start, 0.0) / MONTH_DAYS
    passed = renewals(age, period)
    first = np.clip((passed + 1) * period - age, 0.0, None)  # months to the next renewal
    told = {name: np.zeros(len(period)) for name in ("value", "low", "high")}
    chance = np.where(running, 1.0, 0.0)
    tail = (1 - level) / 2
    for k in range(int(np.ceil(horizon / period.min(initial=horizon))) + 2):
        begins = np.where(k == 0, 0.0, first + (k - 1) * period)
        lasts = np.clip(np.minimum(first + k * period, horizon) - begins, 0.0, None)
        due = lasts > 0
        chance = np.where(due, _stays(parts, known, passed, k), chance) if k else chance
        when = begins + lasts / 2
        amount = known.mrr * lasts * (1 + growing) ** when * (1 + discount_rate) ** (-when / 12)
        told["value"] += chance * amount
        told["low"] += np.where(1 - chance <= tail, amount, 0.0)
        told["high"] += np.where(1 - chance < 1 - tail, amount, 0.0)
    told["low"] = np.minimum(told["low"], told["value"])
    told["high"] = np.maximum(told["high"], told["value"])
    return told | {"stays": chance}


def _stays(parts: Mapping[str, Any], known: Contracts, passed: Floats, more: int) -> Floats:
    """Give the chance of being renewed `more` times, 0 for those who have ended or said that they leave."""
    found = stays(read_estimate(parts[POOLED].files, POOLED).parameters, passed, float(more))
    for months in np.unique(known.months):
        name, rows = _name(months), known.months == months
        if name in parts:
            found[rows] = stays(read_estimate(parts[name].files, name).parameters, passed[rows], float(more))
    return np.where(np.isinf(known.end) & ~known.leaving, found, 0.0)
