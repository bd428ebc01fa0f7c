"""What a series looked like at a moment, and what is known of the period to come: the columns that trees read.

Every amount is divided by the series' level at the moment (the mean of its last periods), so that one model serves a
product that sells one a week and one that sells thousands, and a forecast may go beyond amounts ever seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nextbest.models.forecasting.panel import Panel

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

LEVEL_PERIODS = {"day": 28, "week": 13, "month": 12, "quarter": 4, "year": 3}
_RECENT = 4
_RESTING = 0.2
_ALPHA = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows to learn from or to forecast; the last `known` columns of `matrix` are drivers that are known in advance.

    Per row: the series' level, where the trees start from, what came (NaN when it is to come), and which series it is.
    """

    matrix: Floats
    level: Floats
    start: Floats
    actual: Floats
    series: Ints
    known: int


def rows_at(panel: Panel, moments: Sequence[int], horizon: int) -> Rows:
    """Give one row per moment, series that has begun, and step; a moment is the number of periods known by then."""
    parts = [_at(panel, moment, horizon) for moment in moments]
    return Rows(
        matrix=np.concatenate([p.matrix for p in parts]),
        level=np.concatenate([p.level for p in parts]),
        start=np.concatenate([p.start for p in parts]),
        actual=np.concatenate([p.actual for p in parts]),
        series=np.concatenate([p.series for p in parts]),
        known=3 * len(panel.known),
    )


def _at(panel: Panel, moment: int, horizon: int) -> Rows:
    seen = panel.values[:, :moment]
    window = min(LEVEL_PERIODS[panel.period], moment)
    alive = np.flatnonzero(np.isfinite(seen[:, -1]) & (np.nansum(seen, axis=1) > 0))
    # A product that rests now keeps a part of its old level: nought would make ratios without meaning.
    resting = _RESTING * np.nanmean(seen[alive], axis=1)
    level = np.maximum(np.nanmean(seen[alive, -window:], axis=1), resting)
    state = _state(seen[alive], level, window)
    steps = [_step(panel, alive, moment, step, level) for step in range(horizon)]
    matrix = np.concatenate([np.column_stack([state, step]) for step in steps])
    actual = [_column(panel.values, moment + step)[alive] for step in range(horizon)]
    return Rows(
        matrix=matrix,
        level=np.tile(level, horizon),
        start=_start(panel, alive, moment, horizon, level),
        actual=np.concatenate(actual),
        series=np.tile(alive, horizon),
        known=0,
    )


def _start(panel: Panel, alive: Ints, moment: int, horizon: int, level: Floats) -> Floats:
    """Give where the trees start from: simple smoothing, of the changes over a season where seasons repeat.

    It stands for the statistical ensemble, which would be too slow to compute at every moment that teaches.
    """
    season, seen = panel.season, panel.values[alive, :moment]
    smooth = np.where(np.isfinite(late := _smoothed(seen, _ALPHA)), late, level)
    if season == 1 or 4 * moment < 5 * season:
        return np.tile(smooth, horizon)
    ahead = min(horizon // 2 + 1, season - 1)
    now, change = seen[:, season:], seen[:, season:] - seen[:, :-season]
    there = np.isfinite(change)
    over_steps = np.abs(now - seen[:, season - ahead : -ahead])
    repeats = np.where(there, np.abs(change) - np.nan_to_num(over_steps), 0.0).sum(axis=1) < 0
    shift = np.nan_to_num(_smoothed(change, _ALPHA / 2))
    found = []
    for step in range(horizon):
        again = seen[:, _last_season(moment + step, moment, season)] + shift
        found.append(np.where(repeats & np.isfinite(again), again, smooth))
    return np.concatenate(found)


def _smoothed(values: Floats, alpha: float) -> Floats:
    """Give the exponentially weighted mean of each row, the newest value counting most; NaN without any."""
    weights = (1 - alpha) ** np.arange(values.shape[1])[::-1]
    there = np.isfinite(values)
    total = (there * weights).sum(axis=1)
    return np.where(total > 0, np.where(there, values, 0.0) @ weights / np.where(total > 0, total, 1.0), np.nan)


def _state(seen: Floats, level: Floats, window: int) -> Floats:
    """Give what was known at the moment: the last values, means over short and long, how often nothing was sold."""
    scaled = seen / level[:, None]
    recent = [_column(scaled, seen.shape[1] - 1 - back) for back in range(_RECENT)]
    late = scaled[:, -window:]
    means = [np.nanmean(scaled[:, -_RECENT:], axis=1), np.nanmean(scaled[:, -2 * window :], axis=1)]
    return np.column_stack([*recent, *means, np.nanstd(late, axis=1), np.nanmean(late == 0, axis=1), np.log(level)])


def _step(panel: Panel, alive: Ints, moment: int, step: int, level: Floats) -> Floats:
    """Give what is known of one period to come: the same period of earlier seasons, its place, the drivers."""
    target, season = moment + step, panel.season
    before = _last_season(target, moment, season)
    around = [_column(panel.values, before + shift)[alive] / level for shift in (-1, 0, 1) if before + shift < moment]
    around += [np.full(len(alive), np.nan)] * (3 - len(around))
    earlier = _column(panel.values, before - season)[alive] / level
    place = panel.phases[target] if target < len(panel.phases) else np.nan
    # The phase of this period and of the one before it that is compared with: feasts move from week to week.
    columns = [*around, earlier, np.full(len(alive), float(step)), np.full(len(alive), place)]
    columns.append(panel.groups[alive].astype(np.float64) if len(panel.groups) else np.zeros(len(alive)))
    return np.column_stack([*columns, *_drivers(panel, alive, moment, target, before)])


def _drivers(panel: Panel, alive: Ints, moment: int, target: int, before: int) -> list[Floats]:
    """Give the drivers beside what is usual for the series: a price of 2 is high for one product, low for another."""
    found = []
    for values in panel.lagged.values():
        seen = values[alive, :moment]
        found.append((seen[:, -1] - _smoothed(seen, _ALPHA / 2)) / _usual(seen))
    for values in panel.known.values():
        usual = _usual(values[alive, :moment])
        now, then = _column(values, target)[alive] / usual, _column(values, before)[alive] / usual
        recent = np.nan_to_num(_smoothed(values[alive, :moment], _ALPHA) / usual)
        found += [now, now - np.where(np.isfinite(then), then, recent), now - recent]
    return found


def _usual(values: Floats) -> Floats:
    """Give the mean size of each row, 1 where it is nought or the values are yes and no."""
    there = np.isfinite(values)
    if np.isin(values[there], (0.0, 1.0)).all():
        return np.ones(len(values))
    size = np.where(there, np.abs(values), 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    return np.where(size > 0, size, 1.0)


def _last_season(target: int, moment: int, season: int) -> int:
    """Give the last period before the moment that is whole seasons before the target."""
    back = -(-(target - moment + 1) // season)
    return target - back * season


def _column(values: Floats, place: int) -> Floats:
    return values[:, place] if 0 <= place < values.shape[1] else np.full(len(values), np.nan)
