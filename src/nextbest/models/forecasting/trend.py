"""Is it getting more popular, or less? The change of the last periods against the same periods a season before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEWEST = 4  # changes from which a spread can be had
RISING, FALLING, STEADY, UNKNOWN = "rising", "falling", "steady", "unknown"


def trend(values: Floats, *, season: int, periods: int, level: float) -> tuple[float, float, float, str]:
    """Give the relative change with its interval, and a word; NaN and `unknown` where too little is known.

    The last `periods` are compared one by one with those a season before, or with those just before where no season is
    known. The interval is Student's t of the mean change, its standard error by Newey and West (1987, Econometrica 55)
    so that changes in a row that are alike do not count as many.
    """
    known = values[np.isfinite(values)]
    lag = season if len(known) >= season + max(periods, FEWEST) and season > 1 else periods
    if len(known) < lag + max(min(periods, lag), FEWEST) or lag < 1:
        return float("nan"), float("nan"), float("nan"), UNKNOWN
    late = max(periods, FEWEST)
    before = known[-late - lag : -lag] if len(known) >= late + lag else known[:-lag]
    change = known[-len(before) :] - before
    level_before = float(before.mean())
    if level_before <= 0:
        return float("nan"), float("nan"), float("nan"), UNKNOWN
    middle = float(change.mean())
    reach = _t(level, len(change) - 1) * _standard_error(change)
    low, high = (middle - reach) / level_before, (middle + reach) / level_before
    word = RISING if low > 0 else FALLING if high < 0 else STEADY
    return middle / level_before, max(low, -1.0), high, word


def _standard_error(change: Floats) -> float:
    """Give the standard error of the mean, eq. 5 of Newey and West with their Bartlett weights."""
    count = len(change)
    off = change - change.mean()
    reach = max(1, int(4 * (count / 100) ** (2 / 9)))
    variance = float(off @ off)
    for lag in range(1, min(reach, count - 1) + 1):
        variance += 2 * (1 - lag / (reach + 1)) * float(off[lag:] @ off[:-lag])
    return float(np.sqrt(max(variance, float(off @ off) / count) / (count * max(count - 1, 1))))


def _t(level: float, freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + level) / 2, max(freedom, 1)))
