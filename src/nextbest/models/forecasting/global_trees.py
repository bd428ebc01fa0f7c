"""One model of boosted trees over all series: lags, season, calendar, and what drives demand.

Direct: every step ahead is forecast from what is known at the moment, none from another forecast. As with the winners
of the M5 competition (Makridakis et al. 2022, International Journal of Forecasting 38), many series teach one model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nextbest.models import trees
from nextbest.models.forecasting.lags import rows_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nextbest.models.forecasting.panel import Panel

    Floats = NDArray[np.float64]

FEWEST_WINDOWS = 1_000  # below, trees learn the noise of single series; a line through known drivers may still do
_MOST_ROWS = 200_000
_PARAMETERS = {
    "learning_rate": 0.05,
    "num_leaves": 16,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "min_data_in_leaf": 20,
}
_ROUNDS = (20, 200)
_WINDOWS_PER_ROUND = 10  # the steps of one window are nearly one observation
_RIDGE = 0.05  # of a standardised driver's sum of squares
_FAR = 4.0  # standard deviations: nothing is foreseen from a driver farther out than was ever seen


def forecast(panel: Panel, moment: int, horizon: int, *, seed: int) -> Floats | None:
    """Give series x steps as known after `moment` periods (NaN for series not begun), None with too little to learn."""
    earliest = min(moment - horizon, max(panel.season + horizon, 8))
    moments = list(range(max(earliest, 1), moment - horizon + 1))
    count = max(1, len(panel.series) * horizon)
    if len(moments) < max(panel.season // 2, 2 * horizon):
        return None  # half a season of moments: fewer cannot tell a driver, or a product, from the time of the year
    panel = _long_known(panel, moment, max(panel.season // 2, 2 * horizon))
    moments = moments[:: max(1, len(moments) * count // _MOST_ROWS + 1)]
    windows = len(moments) * len(panel.series)
    if windows < FEWEST_WINDOWS and not panel.known:
        return None
    learn = rows_at(panel, moments, horizon)
    there = np.isfinite(learn.actual)
    target = (learn.actual - learn.start)[there] / learn.level[there]
    # A level near nought makes ratios without meaning: what is far beyond the rest teaches at its bound.
    target = np.clip(target, *np.quantile(target, (0.001, 0.999)))
    ask = rows_at(panel, [moment], horizon)
    line = _line(learn.matrix[there], target, learn.known)
    said = line(ask.matrix)
    if windows >= FEWEST_WINDOWS:
        rounds = int(np.clip(windows // _WINDOWS_PER_ROUND, *_ROUNDS))
        rest = target - line(learn.matrix[there])
        grown = trees.grow(
            learn.matrix[there], rest, task="regression", parameters=_PARAMETERS, rounds=rounds, seed=seed
        )
        said = said + trees.scores(grown, ask.matrix)
    said = said * ask.level
    found = np.full((len(panel.series), horizon), np.nan)
    found[ask.series, np.repeat(np.arange(horizon), len(ask.series) // horizon)] = said
    return found


def _long_known(panel: Panel, moment: int, fewest: int) -> Panel:
    """Give the panel with the drivers that had been known for long enough to be told from the time of the year."""
    known = {n: v for n, v in panel.known.items() if np.isfinite(v[:, :moment]).any(axis=0).sum() >= fewest}
    return replace(panel, known=known)


def _line(matrix: Floats, target: Floats, drivers: int) -> Callable[[Floats], Floats]:
    """Give ridge regression on the drivers alone (the last columns), missing ones at their mean.

    A line says from few rows what a price does; trees would need many for it, and get what it leaves.
    """
    if not drivers:
        return lambda rows: np.zeros(len(rows))
    known = matrix[:, -drivers:]
    there = np.isfinite(known)
    mean = np.where(there, known, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    off = np.where(there, known - mean, 0.0)
    spread = np.sqrt((off**2).mean(axis=0))
    spread = np.where(spread > 0, spread, np.inf)

    def standard(rows: Floats) -> Floats:
        return np.asarray(np.clip(np.nan_to_num((rows[:, -drivers:] - mean) / spread), -_FAR, _FAR))

    x, level = standard(matrix), float(target.mean())
    slopes = np.linalg.solve(x.T @ x + _RIDGE * len(x) * np.eye(drivers), x.T @ (target - level))
    return lambda rows: level + standard(rows) @ slopes
